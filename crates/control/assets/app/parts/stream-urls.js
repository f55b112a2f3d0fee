// The URLs of a stream, and buttons for them.
import { h } from '../dom.js';
import { t } from '../i18n.js';
import { streamUrls } from '../links.js';
import { card } from './controls.js';
import { copyLine } from '../copy.js';

/** A card with the URLs of `name` on this server. */
export function urlsCard(name, server) {
  const lines = streamUrls(name, server).map(([what, url]) =>
    copyLine(what === 'player' ? t('url.player') : what, url));
  return card(t('urls'), lines.length ? h('dl', { class: 'copy-lines tight', id: 'urls' }, lines)
    : h('p', { class: 'no-rows' }, t('urls.none')));
}
