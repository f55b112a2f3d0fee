// The icons of the page: strokes on a grid of 24, in the colour of the text.
import { svg } from './dom.js';

const paths = {
  streams: 'M4 6h16v10H4zM8 20h8M12 16v4M10.500 9l4 2-4 2z',
  sessions: 'M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20c.500-4 3-6 6.500-6s6 2 6.500 6M16 4.500a3.500 3.500 0 0 1 0 6M18 14.500c2 .800 3.200 2.700 3.500 5.500',
  devices: 'M3 8h12v9H3zM15 11.500l6-3v8l-6-3z',
  relays: 'M4 8h14M14 4l4 4-4 4M20 16H6M10 12l-4 4 4 4',
  publish: 'M12 16V4M7 8.500 12 4l5 4.500M4 15v5h16v-5',
  recordings: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z',
  events: 'M13 3 5 13.500h6L10 21l8-11h-6z',
  log: 'M5 4h14v16H5zM8.500 8.500h7M8.500 12h7M8.500 15.500h4',
  settings: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 9.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5zM9 19.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5z',
  menu: 'M4 7h16M4 12h16M4 17h16',
  close: 'M6 6l12 12M18 6 6 18',
  copy: 'M9 9h11v11H9zM15 9V4H4v11h5',
  check: 'M5 12.500 10 17.500 19 7',
  qr: 'M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h2.500v2.500H14zM17.500 17.500H20V20h-2.500z',
  play: 'M8 5.500v13l10.500-6.500z',
  stop: 'M7 7h10v10H7z',
  pause: 'M9 6v12M15 6v12',
  sound: 'M4 9.500v5h3.500L12 18V6L7.500 9.500zM15.500 9a4 4 0 0 1 0 6M18 6.500a8 8 0 0 1 0 11',
  muted: 'M4 9.500v5h3.500L12 18V6L7.500 9.500zM16 9.500l5 5M21 9.500l-5 5',
  full: 'M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5',
  download: 'M12 4v12M7 11.500l5 4.500 5-4.500M4 20h16',
  kick: 'M15 4h5v16h-5M4 12h11M11 8l4 4-4 4',
  search: 'M10.500 17a6.500 6.500 0 1 0 0-13 6.500 6.500 0 0 0 0 13zM15.500 15.500 20 20',
  left: 'M14.500 6l-6 6 6 6',
  right: 'M9.500 6l6 6-6 6',
  up: 'M6 14.500l6-6 6 6',
  down: 'M6 9.500l6 6 6-6',
  'left-up': 'M8 16V8h8',
  'right-up': 'M8 8h8v8',
  'left-down': 'M8 8v8h8',
  'right-down': 'M16 8v8H8',
  near: 'M12 5v14M5 12h14',
  far: 'M5 12h14',
  picture: 'M4 5h16v14H4zM4 16l5-5 4 4 3-2.500 4 3.500',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M5.300 18.700l1.400-1.400M17.300 6.700l1.400-1.400',
  moon: 'M19.500 14.500A8 8 0 0 1 9.500 4.500a8 8 0 1 0 10 10z',
  system: 'M4 5h16v11H4zM9 20h6',
  language: 'M4 6h9M8.500 4v2M11 6c-.800 4-3.300 6.500-6.500 8M6.500 9c1 2.300 2.700 4 5 5M12.500 20l4-10 4 10M14 17h5',
  reload: 'M19 8a8 8 0 1 0 1 6M20 4v5h-5',
  shield: 'M12 3.500 5 6v5.500c0 4.300 2.800 7.400 7 9 4.200-1.600 7-4.700 7-9V6z',
  share: 'M12 15V4M8 7.500 12 4l4 3.500M6 11H5v9h14v-9h-1',
};

/** An icon by its name. It is decoration: what it means is said in text beside it. */
export function icon(name) {
  return svg('svg', { class: 'icon', viewBox: '0 0 24 24', 'aria-hidden': 'true' },
    svg('path', { d: paths[name] }));
}
