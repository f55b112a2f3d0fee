// Which transports can play a stream here: what each carries, and what this browser decodes.
import { t } from '../i18n.js';
import { isSound } from './boxes.js';
import { sources, transports } from './player.js';

// Milliseconds: beginning anew does not help a player that has not gone well for this time.
const WELL = 30_000;

// Milliseconds: how long to rest when everything has failed, at first and at most.
const [REST, LONGEST] = [5000, 60_000];

// What the server sends over each, and the player of the page takes: mpegts.js fails on AV1.
const carried = {
  flv: ['H264', 'H265', 'AAC', 'MP3', 'OPUS', 'FLAC'],
  ts: ['H264', 'H265', 'AAC', 'MP3', 'AC3', 'EAC3', 'OPUS'],
  mp4: ['H264', 'H265', 'AV1', 'VP8', 'VP9', 'AAC', 'MP3', 'OPUS', 'FLAC'],
};
carried.hls = carried.mp4;

// Codecs whose names in RFC 6381 browsers do not know in MP4, or know by another.
const named = { VP8: 'vp08.00.10.08', MP3: 'mp3', FLAC: 'flac' };

// What is asked for until the server knows profile and level: usual ones.
const usual = {
  H264: 'avc1.64001f', H265: 'hvc1.1.6.L93.B0', AV1: 'av01.0.04M.08', VP9: 'vp09.00.10.08',
  AAC: 'mp4a.40.2', OPUS: 'opus', AC3: 'ac-3', EAC3: 'ec-3',
};

/** Whether this browser decodes a track, in MP4, which all players of the page turn it into. */
function decodes(track) {
  const codec = named[track.codec] ?? track.rfc6381 ?? usual[track.codec];
  const Source = window.ManagedMediaSource ?? window.MediaSource;
  if (!codec) return false;
  const type = `${track.kind}/mp4; codecs="${codec}"`;
  return Source ? Source.isTypeSupported(type) : document.createElement('video').canPlayType(type) !== '';
}

const names = { H264: 'H.264', H265: 'H.265 (HEVC)', PCMA: 'G.711 A-law', PCMU: 'G.711 μ-law', AC3: 'AC-3', EAC3: 'E-AC-3', OPUS: 'Opus' };
const container = transport => (transport === 'ws' ? 'flv' : transport.replace('ws-', ''));
const canMute = transport => ['flv', 'mp4'].includes(container(transport));
const media = (tracks, kinds = ['video', 'audio']) => (tracks ?? []).filter(({ kind }) => kinds.includes(kind));
const plays = (transport, track) => carried[container(transport)].includes(track.codec) && decodes(track);
const signature = tracks => media(tracks).map(({ id, codec }) => `${id} ${codec}`).join();
const listed = tracks => [...new Set(tracks.map(({ codec }) => names[codec] ?? codec))].filter(Boolean).join(', ')
  || t('codec.unknown');

/** 2: plays picture and sound, or all there is; 1: the picture; 0: nothing that is worth it. */
function merit(transport, tracks) {
  const played = kind => media(tracks, [kind]).some(track => plays(transport, track));
  if (media(tracks, ['video']).length && !played('video')) return 0;
  if (played('audio')) return 2;
  return !media(tracks, ['video']).length ? 0 : media(tracks, ['audio']).length ? 1 : 2;
}

/**
 * Which transport to play over: one that plays picture and sound, else the picture. `wish` is
 * taken if none is better, or, if it is `firm`, as long as it shows anything. What fails is left
 * out until the tracks change.
 */
export class Choice {
  constructor(wish, firm) {
    this.wish = wish;
    this.firm = firm;
    this.offered = Object.keys(transports);
    this.tracks = null;
    this.broke = 0;
    this.plays = null;
    this.renew();
  }

  /** Takes what is known; returns whether the tracks are others than before. */
  learn(offered, tracks) {
    this.offered = offered;
    if (!media(tracks).length) return false;
    const [was, now] = [signature(this.tracks), signature(tracks)];
    this.tracks = tracks;
    if (was === now) return false;
    this.renew();
    return was !== '';
  }

  /** All begins from the beginning. */
  renew() {
    this.anew = false;
    this.rest = 0;
    this.forget();
  }

  /** What failed may work now. */
  forget() {
    this.failed = new Set();
    this.silent = false;
    this.starving = false;
    this.reason = null;
  }

  /** The user wants this one. */
  want(transport) {
    this.wish = transport;
    this.firm = true;
    this.renew();
  }

  /** The transport to play over; null if none can. */
  get transport() {
    const common = sources() ? ['flv', 'mp4', 'ts', 'hls', 'ws', 'ws-mp4', 'ws-ts'] : ['hls'];
    // Sound cannot be left aside in all.
    const order = this.starving ? common : [this.wish, ...common];
    const left = order.filter(transport => this.offered.includes(transport) && !this.failed.has(transport));
    if (!this.tracks) return left[0] ?? null;
    const merits = left.map(transport => merit(transport, this.tracks));
    if (this.firm && left[0] === this.wish && merits[0] > 0) return this.wish;
    const most = Math.max(...merits);
    return most > 0 ? left[merits.indexOf(most)] : null;
  }

  /** Whether sound is to be left aside: players fail on sound that they do not know. */
  get mute() {
    const { transport } = this;
    if (!transport || !canMute(transport)) return false;
    const sound = media(this.tracks, ['audio']);
    return this.silent || (sound.length > 0 && !sound.some(track => plays(transport, track)));
  }

  /** The transport failed; returns whether there is something else to try. */
  fail(why) {
    const { transport } = this;
    if (!transport) return false;
    const starves = why === 'frozen';
    const sounds = !this.tracks || media(this.tracks, ['audio']).length > 0;
    // Without its sound, the picture may be shown.
    const muted = canMute(transport) && !this.mute && sounds && (starves || /audio/i.test(why) || isSound(why));
    if (!muted) this.failed.add(transport);
    // Libraries give whole sentences here; only names of codecs help.
    if (why && !starves && why.length < 24) this.reason ??= why;
    this.starving ||= starves;
    this.silent ||= muted || (starves && sounds);
    return this.transport !== null;
  }

  /**
   * Takes what a player reports; `fed` tells whether bytes had come. Returns whether a player is to
   * begin anew at once, over what is then the transport.
   */
  mend(state, detail, fed) {
    const now = performance.now();
    if (state === 'playing') {
      this.broke = 0;
      this.plays ??= now;
    } else if (!['stalled', 'blocked'].includes(state)) {
      if (this.plays !== null && now - this.plays >= WELL) Object.assign(this, { anew: false, rest: 0 });
      this.plays = null;
    }
    // A source that breaks off brings bytes again, or breaks off for a reason of its own.
    if (state === 'broken' && fed) this.broke += 1;
    const again = ['frozen', 'changed'].includes(state);
    const fails = state === 'codec' || this.broke > 1 || (again && this.anew);
    if (again) this.anew = true;
    if (!fails) return again;
    this.broke = 0;
    const more = this.fail(state === 'frozen' ? state : String(detail ?? ''));
    // What is no matter of codecs may get better by itself, but not at once.
    if (!more && state !== 'codec') {
      this.forget();
      this.rest = Math.min(2 * this.rest || REST, LONGEST);
    }
    return more;
  }

  /** The codecs that keep the stream from being played, by name. */
  obstacles() {
    const video = media(this.tracks, ['video']);
    const tracks = (video.length ? video : media(this.tracks))
      .filter(track => !this.offered.some(transport => plays(transport, track)));
    return tracks.length ? listed(tracks) : this.reason ?? t('codec.unknown');
  }

  /** What a viewer should know of how it is played; empty if it is as usual. */
  note() {
    const { transport } = this;
    if (!transport) return '';
    const notes = [];
    if (transport !== this.wish && (this.firm || this.failed.size)) {
      notes.push(t('player.note.other', { from: transports[this.wish], to: transports[transport] }));
    }
    const sound = media(this.tracks, ['audio']);
    if (sound.length && !sound.some(track => plays(transport, track))) notes.push(t('player.note.silent', { codec: listed(sound) }));
    else if (this.mute) notes.push(this.starving ? t('player.note.starving') : t('player.note.silent', { codec: t('codec.unknown') }));
    return notes.join(' ');
  }
}
