// Reads the boxes of MP4: whole boxes out of a stream, and codecs out of an init segment.

const kind = (bytes, at) => String.fromCharCode(...bytes.subarray(at, at + 4));
const view = bytes => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const hex = value => value.toString(16).padStart(2, '0');
const two = value => String(value).padStart(2, '0');

// No box of a live stream is this large; a length beyond it means that this is not MP4.
const LARGEST = 64 << 20;

/** Collects chunks and gives out boxes of the top level once they are whole. */
export class BoxReader {
  constructor() {
    this.chunks = [];
    this.length = 0;
  }

  /** Takes bytes; returns the boxes that they complete. Throws if they are no MP4. */
  push(chunk) {
    this.chunks.push(chunk);
    this.length += chunk.length;
    if (this.wanted && this.length < this.wanted) return [];
    let bytes = this.chunks.length === 1 ? chunk : this.join();
    const boxes = [];
    this.wanted = 8;
    while (bytes.length >= 8) {
      let size = view(bytes).getUint32(0);
      if (size === 1) {
        if (bytes.length < 16) break;
        size = Number(view(bytes).getBigUint64(8));
      }
      if (size < 8 || size > LARGEST) throw new Error('not MP4');
      this.wanted = size;
      if (bytes.length < size) break;
      boxes.push({ type: kind(bytes, 4), bytes: bytes.subarray(0, size) });
      bytes = bytes.subarray(size);
      this.wanted = 8;
    }
    this.chunks = bytes.length ? [bytes] : [];
    this.length = bytes.length;
    return boxes;
  }

  join() {
    const all = new Uint8Array(this.length);
    let at = 0;
    for (const chunk of this.chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }
}

/** The boxes inside of `bytes`, from `start` on. */
function* inside(bytes, start) {
  let at = start;
  while (at + 8 <= bytes.length) {
    const size = view(bytes).getUint32(at);
    if (size < 8 || at + size > bytes.length) return;
    yield { type: kind(bytes, at + 4), bytes: bytes.subarray(at, at + size) };
    at += size;
  }
}

function find(bytes, path, start = 8) {
  let found = bytes;
  let from = start;
  for (const type of path) {
    found = [...inside(found, from)].find(box => box.type === type)?.bytes;
    if (!found) return null;
    from = 8;
  }
  return found;
}

/** HEVC: profile, compatibility in reversed order, tier with level, and what constrains it. */
function hevc(name, config) {
  const bytes = config.subarray(8);
  const space = ['', 'A', 'B', 'C'][bytes[1] >> 6];
  let compatible = view(bytes).getUint32(2);
  let reversed = 0;
  for (let bit = 0; bit < 32; bit++) {
    reversed = (reversed << 1) | (compatible & 1);
    compatible >>>= 1;
  }
  const constraints = [...bytes.subarray(6, 12)];
  while (constraints.length && constraints.at(-1) === 0) constraints.pop();
  const tier = bytes[1] & 0x20 ? 'H' : 'L';
  return [name, `${space}${bytes[1] & 31}`, (reversed >>> 0).toString(16), `${tier}${bytes[12]}`,
    ...constraints.map(value => value.toString(16).toUpperCase())].join('.');
}

function av1(config) {
  const [, profileLevel, flags] = config.subarray(8);
  const depth = flags & 0x40 ? (flags & 0x20 ? 12 : 10) : 8;
  return `av01.${profileLevel >> 5}.${two(profileLevel & 31)}${flags & 0x80 ? 'H' : 'M'}.${two(depth)}`;
}

/** The object type of `esds`, and for AAC the kind of AAC. */
function mpegAudio(config) {
  let at = 12;
  let object = 0;
  while (at < config.length) {
    const tag = config[at++];
    let length = 0;
    let more;
    do {
      more = config[at] & 0x80;
      length = (length << 7) | (config[at++] & 0x7f);
    } while (more && at < config.length);
    if (tag === 3) at += 3;
    else if (tag === 4) {
      object = config[at];
      at += 13;
    } else if (tag === 5) return `mp4a.${hex(object)}.${config[at] >> 3}`;
    else at += length;
  }
  return `mp4a.${hex(object)}`;
}

function codecOf(entry) {
  const type = kind(entry, 4);
  const config = (name, start) => find(entry, [name], start);
  const video = name => config(name, 86);
  const audio = name => config(name, 36);
  if (type === 'avc1' || type === 'avc3') {
    const bytes = video('avcC');
    return bytes ? `${type}.${hex(bytes[9])}${hex(bytes[10])}${hex(bytes[11])}` : type;
  }
  if (type === 'hvc1' || type === 'hev1') return video('hvcC') ? hevc(type, video('hvcC')) : type;
  if (type === 'av01') return video('av1C') ? av1(video('av1C')) : type;
  if (type === 'vp09' || type === 'vp08') {
    const bytes = video('vpcC');
    return bytes ? `${type}.${two(bytes[12])}.${two(bytes[13])}.${two(bytes[14] >> 4)}` : type;
  }
  if (type === 'mp4a') return audio('esds') ? mpegAudio(audio('esds')) : 'mp4a.40.2';
  return { Opus: 'opus', fLaC: 'flac', '.mp3': 'mp3' }[type] ?? type;
}

/** The codecs of the tracks in a `moov` box, as MIME types name them. */
export function codecsOf(moov) {
  const codecs = [];
  for (const { type, bytes } of inside(moov, 8)) {
    if (type !== 'trak') continue;
    const table = find(bytes, ['mdia', 'minf', 'stbl', 'stsd']);
    const entry = table && [...inside(table, 16)][0];
    if (entry) codecs.push(codecOf(entry.bytes));
  }
  return codecs;
}

const FREE = [...'free'].map(letter => letter.charCodeAt(0));

/**
 * Takes the tracks of sound out of a `moov` box that has a picture as well, in place: their boxes
 * become free space. Returns their numbers.
 */
export function soundless(moov) {
  const traks = [...inside(moov, 8)].filter(({ type }) => type === 'trak').map(({ bytes }) => bytes);
  const isOfSound = trak => {
    const handler = find(trak, ['mdia', 'hdlr']);
    return handler !== null && kind(handler, 16) === 'soun';
  };
  const numbers = new Set();
  if (traks.every(isOfSound)) return numbers;
  for (const trak of traks.filter(isOfSound)) {
    const header = find(trak, ['tkhd']);
    // Times have 64 bits in version 1.
    if (header) numbers.add(view(header).getUint32(header[8] === 1 ? 28 : 20));
    trak.set(FREE, 4);
  }
  const defaults = find(moov, ['mvex']);
  for (const { type, bytes } of defaults ? inside(defaults, 8) : []) {
    if (type === 'trex' && numbers.has(view(bytes).getUint32(12))) bytes.set(FREE, 4);
  }
  return numbers;
}

/** Takes the tracks of these numbers out of a `moof` box, in place; returns whether any is left. */
export function silenced(moof, numbers) {
  let left = false;
  for (const { type, bytes } of inside(moof, 8)) {
    if (type !== 'traf') continue;
    const header = find(bytes, ['tfhd']);
    if (header && numbers.has(view(header).getUint32(12))) bytes.set(FREE, 4);
    else left = true;
  }
  return left;
}

/** Whether a codec is one of sound. */
export const isSound = codec => /^(mp4a|opus|flac|mp3|ac-3|ec-3)/.test(codec);

/** The MIME type for Media Source Extensions. */
export function mimeOf(codecs) {
  return `${codecs.every(isSound) ? 'audio' : 'video'}/mp4; codecs="${codecs.join(', ')}"`;
}
