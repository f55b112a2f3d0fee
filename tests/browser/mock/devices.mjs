// The mock's cameras and recorders, which remember what they were told.
const ago = seconds => new Date(Date.now() - seconds * 1000).toISOString();
const id = (kind, number) => `3402000000${kind}${String(number).padStart(7, '0')}`;

const makers = [['Hikvision', 'DS-2CD3T47'], ['Dahua', 'IPC-HFW4443'], ['Uniview', 'NVR-S200'], [null, null]];
const places = ['东门', '停车场', 'Loading dock', 'Roof <north>', '', 'Lobby'];

function channel(device, number) {
  const own = id(131, number);
  const [manufacturer, model] = makers[number % 3];
  return { id: own, name: places[number % 6] && `${places[number % 6]} ${number}`, manufacturer, model, address: number % 2 ? 'Building 2, ground floor' : '', parent: device, is_folder: false, online: [true, true, false, null][number % 4], stream: `gb/${device}/${own}` };
}

function device(number) {
  const own = id(number % 3 === 2 ? 118 : 111, number);
  const [manufacturer, model] = makers[number % 4];
  const online = number % 5 !== 4;
  const channels = Array.from({ length: number % 3 === 2 ? 40 : 1 }, (_, index) => channel(own, number * 100 + index));
  if (channels.length > 1) channels.unshift({ ...channel(own, 0), id: id(216, number), name: '一号楼', is_folder: true, online: null, stream: null });
  return { id: own, online, address: `192.0.2.${number % 250 + 1}:5060`, transport: number % 2 ? 'TCP' : 'UDP', since: ago(9000 + number * 40), alive: ago(online ? number % 40 : 4000), gone: online ? null : ago(3820), name: [`Gate ${number}`, '东区录像机', null][number % 3], manufacturer, model, firmware: model && 'V5.7.3 build 240115', version: model && '3.0', alarm: number === 1 ? 'motion detection, 2026-03-01T08:12:44' : null, channels };
}

export class Devices {
  constructor({ count, empty, enabled }) {
    this.enabled = enabled;
    this.all = empty || !enabled ? [] : Array.from({ length: count }, (_, index) => device(index + 1));
    this.orders = [];
  }

  /** Those of which something has this in it. */
  found(search) {
    const of = ({ id: own, name, manufacturer, model, address }) => [own, name, manufacturer, model, address];
    return this.all.filter(each => [each, ...each.channels].flatMap(of).join('\n').toLowerCase().includes(search.toLowerCase()));
  }

  /** A device by its id. */
  find(wanted) {
    return this.all.find(({ id: own }) => own === wanted) ?? null;
  }

  /** The calls whose answers are plain. */
  table(Refused) {
    const told = order => {
      const found = this.find(order.device);
      if (!found) throw new Refused(404, this.enabled ? 'there is no such device' : 'devices cannot register here: gb28181.listen is not set');
      if (!found.online) throw new Refused(409, `${order.device} is not online`);
      this.orders.push(order);
      return { told: true };
    };
    return { 'POST /devices/refresh': told, 'POST /devices/control': told };
  }
}
