// The state of the mock: streams, sessions, figures that move, events and log lines.
import { EventEmitter } from 'node:events';

const wave = (middle, part, period, shift = 0) =>
  Math.round(middle * (1 + part * Math.sin(Date.now() / 1000 / period + shift) + (Math.random() - 0.5) * part * 0.4));
const ago = seconds => new Date(Date.now() - seconds * 1000).toISOString();

const video = (codec, width, height, fps, profile, level) => ({ id: 'video0', kind: 'video', codec, width, height, fps, profile, level });
const aac = { id: 'audio0', kind: 'audio', codec: 'AAC', rfc6381: 'mp4a.40.2', sample_rate: 44100, channels: 2, profile: 'LC' };
const samples = [
  ['live/demo', 'live', [video('H264', 640, 360, 25, 'High', '3.0'), aac], 640],
  ['live/keynote', 'live', [video('H264', 1920, 1080, 50, 'High', '4.2'), { ...aac, sample_rate: 48000 }], 6200],
  ['cameras/东门', 'live', [video('H265', 2560, 1440, 20, 'Main', '5.0')], 3100],
  ['radio/jazz', 'live', [{ ...aac, codec: 'Opus', rfc6381: 'opus', sample_rate: 48000, profile: undefined }], 128],
  ['live/<b>bold</b> & "odd" 100%?#1', 'live', [video('AV1', 1280, 720, 29.97, 'Main', '3.1'), aac], 1800],
  ['live/interview', 'away', [video('H264', 1280, 720, 25, 'Main', '3.1'), aac], 0],
  ['live/tonight', 'waiting', [], 0],
];

export class World {
  constructor({ mediaPort, viewers, empty }) {
    this.mediaPort = mediaPort;
    this.began = Date.now() - 3 * 86_400_000 - 14_000_000;
    this.streams = new Map();
    this.sessions = new Map();
    this.blocked = [{ ip: '203.0.113.7', until: ago(-540) }, { ip: '198.51.100.0/24', until: null }];
    this.level = 'info';
    this.events = [];
    this.log = [];
    this.eventSource = new EventEmitter().setMaxListeners(0);
    this.logSource = new EventEmitter().setMaxListeners(0);
    this.count = 0;
    this.history = { in_kbps: [], out_kbps: [], publishers: [], viewers: [], cpu_percent: [], memory_mb: [] };
    for (let i = 0; i < 240; i++) this.sample();
    this.say('INFO', 'the server is up', { version: '0.1.0' });
    if (!empty) {
      for (const sample of samples) this.publish(...sample);
      for (let i = 0; i < viewers; i++) this.watch(samples[i % 7 < 4 ? i % 5 : 1][0], i);
      if (viewers) this.watch('live/tonight', 1);
    }
    setInterval(() => this.sample(), 1000).unref();
    setInterval(() => this.chatter(empty), 1500).unref();
  }

  sample() {
    const index = this.history.in_kbps.length;
    const next = { in_kbps: wave(12_000, 0.12, 40, index / 30), out_kbps: wave(96_000, 0.25, 60, index / 40), publishers: 5, viewers: wave(240, 0.1, 90, index / 70), cpu_percent: wave(140, 0.3, 30, index / 20) / 10, memory_mb: wave(62, 0.03, 50, index / 90) };
    for (const [key, value] of Object.entries(next)) this.history[key] = [...this.history[key], value].slice(-360);
  }

  /** Lines and events that come by themselves. */
  chatter(empty) {
    if (empty) return;
    const list = [...this.sessions.values()];
    const session = list[Math.floor(Math.random() * list.length)];
    if (!session) return;
    const [level, text] = [['DEBUG', 'a segment was written'], ['INFO', 'a viewer came'], ['INFO', 'a viewer left'], ['WARN', 'a viewer is slow: frames were skipped'], ['ERROR', 'the relay refused the connection, trying again in 5 s']][Math.floor(Math.random() ** 2 * 5)];
    this.say(level, text, { session: session.id, stream: session.stream, peer: session.peer });
    this.happen(Math.random() < 0.5 ? 'on_sub_start' : 'on_sub_stop', session);
  }

  say(level, message, fields) {
    const line = { time: new Date().toISOString(), level, message, fields };
    this.log = [...this.log, line].slice(-500);
    this.logSource.emit('item', line);
  }

  happen(name, session) {
    const [app, ...rest] = (session.stream ?? '').split('/');
    const data = { time: new Date().toISOString(), server_id: '1', session_id: session.id, protocol: session.protocol, base_type: session.role, remote_addr: session.peer, url: session.url, app_name: app, stream_name: rest.join('/'), url_param: '', has_in_session: true, has_out_session: true, read_bytes_sum: session.read_bytes, wrote_bytes_sum: session.written_bytes, ...(name.endsWith('_stop') ? { reason: 'the peer closed the connection' } : {}) };
    const event = { id: ++this.count, name, data };
    this.events = [...this.events, event].slice(-256);
    this.eventSource.emit('item', event);
  }

  session(protocol, role, stream, kbps, age) {
    const id = `${protocol}${role}${this.sessions.size + 1 + this.count}`;
    const port = 30_000 + this.sessions.size % 30_000;
    const session = { id, protocol, role, peer: role === 'PUB' ? `198.51.100.23:${port}` : `203.0.113.${this.sessions.size % 250}:${port}`, url: `rtmp://127.0.0.1/${stream}`, stream, user: this.sessions.size % 5 === 0 ? 'alice' : null, started: ago(age), read_bytes: role === 'PUB' ? kbps * 125 * age : 900, written_bytes: role === 'PUB' ? 4000 : kbps * 125 * age, read_kbps: role === 'PUB' ? kbps : 0, written_kbps: role === 'PUB' ? 0 : kbps };
    this.sessions.set(id, session);
    return session;
  }

  publish(name, state = 'live', tracks = samples[0][2], kbps = 640) {
    const publisher = state === 'live' ? this.session('RTMP', 'PUB', name, kbps, tracks === samples[0][2] && name !== 'live/demo' ? 0 : 5000) : null;
    this.streams.set(name, { state, tracks, kbps, publisher, recording: name === 'live/keynote' ? ['mp4'] : [], began: Date.now() });
    if (publisher) {
      this.happen('on_pub_start', publisher);
      this.say('INFO', 'a publisher came', { session: publisher.id, stream: name });
    }
  }

  /** A stream that comes while somebody looks, with two viewers. */
  arrive(name) {
    this.publish(name);
    [0, 1].forEach(index => this.watch(name, index));
    return { published: name };
  }

  unpublish(name) {
    const stream = this.streams.get(name);
    this.streams.delete(name);
    if (stream?.publisher) this.kick(stream.publisher.id);
    return { unpublished: name };
  }

  watch(name, index) {
    const protocol = ['FLV', 'RTMP', 'HLS', 'TS', 'RTSP', 'MP4'][index % 6];
    return this.session(protocol, index % 37 === 5 ? 'PUSH' : 'SUB', name, this.streams.get(name)?.kbps ?? 0, 20 + index * 7 % 4000);
  }

  kick(id) {
    const session = this.sessions.get(id);
    if (!session) return false;
    this.sessions.delete(id);
    const stream = this.streams.get(session.stream);
    if (stream?.publisher === session) Object.assign(stream, { publisher: null, state: 'away', kbps: 0 });
    this.happen(session.role === 'PUB' ? 'on_pub_stop' : 'on_sub_stop', session);
    return true;
  }

  viewersOf(name) {
    return [...this.sessions.values()].filter(({ stream, role }) => stream === name && role !== 'PUB');
  }

  describe(name) {
    const { state, tracks, kbps, publisher, recording } = this.streams.get(name);
    const [app, ...rest] = name.split('/');
    const viewers = this.viewersOf(name).length;
    return { name, app, stream: rest.join('/'), state, publisher, viewers, tracks, fps: kbps && tracks[0]?.fps ? tracks[0].fps : 0, in_kbps: wave(kbps, 0.06, 8), out_kbps: wave(kbps * viewers, 0.06, 8), recording };
  }

  detail(name) {
    if (!this.streams.has(name)) return null;
    const stream = this.describe(name);
    const seconds = Math.floor((Date.now() - this.streams.get(name).began) / 1000) + 100;
    const { in_kbps: bits } = this.history;
    const scale = value => Math.round(value / 12_000 * stream.in_kbps);
    return { ...stream, gop_frames: 50, gop_ms: 2000, key_interval_ms: [2000, 2000, 1960], frames: seconds * 25, repairs: { timestamp_jumps: 0, timestamp_regressions: 1, lost_packets: 0, torn_frames: 0 }, cached_bytes: 412_345, skips: 3, history: { interval_seconds: 5, until: new Date().toISOString(), in_kbps: bits.slice(-120).map(scale), out_kbps: bits.slice(-120).map(value => scale(value) * stream.viewers), fps: bits.slice(-120).map(value => (stream.fps ? stream.fps - (value % 3 === 0 ? 1 : 0) : 0)), viewers: bits.slice(-120).map(() => stream.viewers) }, play: { query: '' } };
  }

  listStreams(query) {
    const [search, state] = [query.get('search') ?? '', query.get('state')];
    return [...this.streams.keys()].filter(name => name.includes(search)).map(name => this.describe(name))
      .filter(stream => !state || stream.state === state);
  }

  listSessions(query) {
    const given = key => query.get(key) || null;
    const found = [...this.sessions.values()].filter(session => (!given('protocol') || session.protocol === given('protocol'))
      && (!given('role') || session.role === given('role')) && (!given('stream') || session.stream === given('stream'))
      && (!given('search') || JSON.stringify(session).includes(given('search'))));
    const value = { bytes: session => session.read_bytes + session.written_bytes, kbps: session => session.read_kbps + session.written_kbps }[given('sort')]
      ?? (session => Date.parse(session.started));
    const sign = given('order') === 'desc' ? -1 : 1;
    return found.sort((a, b) => sign * (value(a) - value(b)));
  }

  /** The calls whose answers are plain. */
  table(Refused) {
    const record = wanted => ({ stream: name, format }) => {
      const stream = this.streams.get(name);
      if (!stream) throw new Refused(404, `there is no stream ${name}`);
      if (stream.recording.includes(format) === wanted) throw new Refused(409, wanted ? 'it is recorded already' : 'it is not recorded');
      stream.recording = wanted ? [...stream.recording, format] : stream.recording.filter(each => each !== format);
      return { recording: stream.recording };
    };
    const last = key => this.history[key].at(-1);
    return {
      'GET /server': () => ({ id: '1', version: '0.1.0', started: new Date(this.began).toISOString(), uptime_seconds: (Date.now() - this.began) / 1000, ports: { rtmp: 1935, rtmps: 4935, rtsp: 5544, rtsps: 5322, rtsp_ws: 5566, http: this.mediaPort, https: null }, paths: { flv: ['/'], ts: ['/'], mp4: ['/'], hls: '/hls/' }, player_page: true, sessions: this.sessions.size, streams: this.streams.size, publishers: 5, viewers: last('viewers'), connections: this.sessions.size, in_kbps: last('in_kbps'), out_kbps: last('out_kbps') }),
      'GET /history': () => ({ interval_seconds: 5, until: new Date().toISOString(), ...this.history }),
      'POST /streams/kick': ({ stream, who }) => {
        const publisher = this.streams.get(stream)?.publisher;
        const gone = [...(who !== 'publisher' ? this.viewersOf(stream) : []), ...(who !== 'viewers' && publisher ? [publisher] : [])];
        gone.forEach(({ id }) => this.kick(id));
        return { kicked: gone.length };
      },
      'POST /record/start': record(true),
      'POST /record/stop': record(false),
      'GET /recordings': (_, query) => ({ items: [...this.streams.keys()].slice(0, 5).filter(name => !query.get('stream') || name === query.get('stream')).flatMap((name, index) => ['flv', 'mp4'].map(format => ({ format, path: `/record/${format}/${name.split('/').map(encodeURIComponent).join('/')}-17600${index}0000.${format}`, size: 1_234_567 * (index + 1) ** 3, modified: ago(index * 40_000) }))) }),
      'GET /log/level': () => ({ level: this.level }),
      'PUT /log/level': ({ level }) => ({ level: this.level = level }),
      'GET /config': () => ({ settings: { rtmp: { listen: [':1935'], gop_cache: 1, chunk_size: 60_000 }, rtsp: { listen: [':5544'], auth: { user: 'alice', password: '***' } }, http: { listen: [':8080'], cors: '*' }, hls: { prefix: '/hls/', segment_seconds: 2, window: 6, low_latency: true }, record: { folder: '/var/lib/headwater', formats: [] }, api: { listen: '127.0.0.1:8083', token: '***' }, log: { level: this.level, format: 'text' } } }),
      'POST /config/reload': () => ({ applied: ['log.level', 'hls.window'], needs_restart: ['rtmp.listen'], warnings: [] }),
      'GET /access/blocked': () => ({ items: this.blocked }),
      'POST /access/block': ({ ip, seconds }) => {
        if (!/^[\d.:a-f/]+$/i.test(ip)) throw new Refused(400, `${ip} is neither an address nor a network such as 203.0.113.0/24`);
        this.blocked = [...this.blocked.filter(entry => entry.ip !== ip), { ip, until: seconds ? ago(-seconds) : null }];
        return { items: this.blocked };
      },
      'POST /access/unblock': ({ ip }) => {
        if (!this.blocked.some(entry => entry.ip === ip)) throw new Refused(404, `${ip} is not blocked`);
        this.blocked = this.blocked.filter(entry => entry.ip !== ip);
        return { items: this.blocked };
      },
    };
  }
}
