// The mock's pulls, pushes and receivers.
const relay = (stream, addresses, more) => ({ stream, addresses, current: 0, state: 'running', session: null, attempts: 1, failures: 0, last_error: null, rule: null, on_demand: false, ...more });

export class Relays {
  constructor({ empty }) {
    this.pulls = empty ? [] : [
      relay('cameras/东门', ['rtsp://192.0.2.7:554/ch1', 'rtsp://spare.example/ch1'], { session: 'RTSPPULL12', rule: 'cameras/*', on_demand: true }),
      relay('cameras/yard', ['rtsp://recorder.example:554/Streaming/Channels/101?transportmode=unicast', 'rtsp://spare.example/yard'], { current: 1, state: 'waiting', attempts: 1289, failures: 7, last_error: 'connecting to spare.example:554: connection refused (os error 111)', rule: 'cameras/*' }),
      relay('live/keynote', ['rtmp://origin.example/live/keynote'], { state: 'idle', attempts: 3, last_error: 'the stream is published here' }),
      relay('live/<b>bold</b> & "odd" 100%?#1', ['https://origin.example/live/odd.flv'], { state: 'calling', attempts: 1 }),
    ];
    this.pushes = empty ? [] : [
      relay('live/demo', ['rtmp://a.rtmp.youtube.com/live2'], { session: 'RTMPPUSH40', rule: 'live/demo' }),
      relay('live/demo', ['rtmp://a.rtmp.youtube.com/live2'], { session: 'RTMPPUSH41', attempts: 4, last_error: 'the peer closed the connection' }),
      relay('live/tonight', ['rtmps://live-api-s.facebook.com:443/rtmp'], { state: 'idle', attempts: 0 }),
    ];
    this.receivers = empty ? [] : [
      { stream: 'gb/gate', session: 'PSPUB7', transport: 'udp', port: 40_002, ssrc: 100_000_001, received_ssrc: 100_000_001, peer: '192.0.2.30:15060', packets: 1_204_553, lost: 12, foreign: 0, left_out: [] },
      { stream: 'gb/old-camera', session: 'PSPUB9', transport: 'shared', port: 9000, ssrc: 100_000_002, received_ssrc: 8, peer: '192.0.2.31:15062', packets: 88_120, lost: 0, foreign: 3, left_out: ['SVAC', 'G.722.1'] },
      { stream: 'gb/new', session: 'PSPUB10', transport: 'tcp_active', port: 0, ssrc: null, received_ssrc: null, peer: null, packets: 0, lost: 0, foreign: 0, left_out: [] },
    ];
  }

  /** The calls whose answers are plain. */
  table(Refused) {
    const ended = (list, fits) => {
      const stays = this[list].filter(item => !fits(item));
      const stopped = this[list].length - stays.length;
      if (!stopped) throw new Refused(404, 'there is no such relay');
      this[list] = stays;
      return { stopped };
    };
    const added = (list, item) => {
      this[list].push(item);
      return item;
    };
    const checked = address => {
      if (!/^(rtmps?|rtsps?|https?|wss?):\/\/[^/]/.test(address)) throw new Refused(400, `${address}: an address begins with rtmp://, rtsp://, http:// or the like`);
      return address.replace(/\/\/[^/@]*@/, '//');
    };
    return {
      'GET /pulls': () => ({ items: this.pulls }),
      'GET /pushes': () => ({ items: this.pushes }),
      'GET /receivers': () => ({ items: this.receivers }),
      'POST /pulls': ({ stream, from, stop_after_seconds: after }) => {
        if (this.pulls.some(pull => pull.stream === stream)) throw new Refused(409, `${stream} is pulled already`);
        const pull = added('pulls', relay(stream, from.map(checked), { state: 'calling', on_demand: after !== undefined }));
        setTimeout(() => Object.assign(pull, { state: 'running', session: `RTMPPULL${this.pulls.length + 20}` }), 800).unref();
        return pull;
      },
      'POST /pushes': ({ stream, to }) => added('pushes', relay(stream, [checked(to)], { state: 'idle', attempts: 0 })),
      'POST /receivers': ({ stream, transport = 'udp', shared, ssrc = null, port = 40_000 + this.receivers.length }) => {
        if (this.receivers.some(receiver => receiver.stream === stream)) throw new Refused(409, `${stream} has a publisher`);
        return added('receivers', { stream, session: `PSPUB${this.receivers.length + 20}`, transport: shared ? 'shared' : transport, port: transport === 'tcp_active' ? 0 : port, ssrc, received_ssrc: null, peer: null, packets: 0, lost: 0, foreign: 0, left_out: [] });
      },
      'DELETE /pulls': (_, query) => ended('pulls', pull => pull.stream === query.get('stream')),
      'DELETE /pushes': (_, query) => ended('pushes', push => push.stream === query.get('stream') && push.addresses[0] === query.get('to')),
      'DELETE /receivers': (_, query) => ended('receivers', receiver => receiver.stream === query.get('stream')),
    };
  }
}
