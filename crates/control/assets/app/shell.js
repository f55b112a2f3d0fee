// What is around the views: navigation, theme, language, the banner of a lost connection.
import { api, poll, problems } from './api.js';
import { connection, retry } from './connection.js';
import { toast } from './dialogs.js';
import { h, setText } from './dom.js';
import { duration } from './format.js';
import { icon } from './icons.js';
import { language, languages, setLanguage, t } from './i18n.js';
import { load, save } from './store.js';

const $ = id => document.getElementById(id);
const entries = ['streams', 'sessions', 'devices', 'relays', 'publish', 'recordings', 'events', 'log', 'settings'];
const themes = { system: 'system', light: 'sun', dark: 'moon' };

/** What the server last told of itself; null before. */
export let server = null;
const waiting = [];

/** Ends once the server has told of itself. */
export function serverKnown() {
  return server ? Promise.resolve(server) : new Promise(resolve => waiting.push(resolve));
}

/** Calls with every telling of the server. */
export const serverNews = new EventTarget();

function drawTheme(button) {
  const theme = load('theme') ?? 'system';
  const text = t(`theme.${theme}`);
  button.replaceChildren(icon(themes[theme] ?? 'system'), h('span', {}, text));
  button.setAttribute('aria-label', t('theme.switch', { theme: text }));
}

function setTheme(theme) {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  save('theme', theme === 'system' ? null : theme);
}

function openMenu(open) {
  $('side').classList.toggle('open', open);
  $('menu').setAttribute('aria-expanded', String(open));
  $('menu').replaceChildren(icon(open ? 'close' : 'menu'));
}

/** Writes the texts of the shell, in the language chosen. */
export function drawShell() {
  document.documentElement.lang = language() === 'zh' ? 'zh-CN' : language();
  setText($('skip'), t('skip'));
  $('menu').setAttribute('aria-label', t('menu'));
  $('nav').setAttribute('aria-label', t('menu'));
  $('nav').replaceChildren(...entries.map(entry => {
    const first = entry === 'streams' ? '' : entry;
    return h('a', { href: `#/${first}`, 'data-first': first }, icon(entry), h('span', {}, t(`nav.${entry}`)));
  }));
  const theme = h('button', {
    type: 'button', id: 'theme', class: 'foot-button',
    on: {
      click: () => {
        const names = Object.keys(themes);
        setTheme(names[(names.indexOf(load('theme') ?? 'system') + 1) % names.length]);
        drawTheme(theme);
      },
    },
  });
  drawTheme(theme);
  const other = Object.keys(languages).find(tag => tag !== language());
  $('foot').replaceChildren(
    h('div', { class: 'about', id: 'about' }),
    theme,
    h('button', {
      type: 'button', id: 'language', class: 'foot-button', lang: other, on: { click: () => setLanguage(other) },
    }, icon('language'), h('span', {}, languages[other])));
  drawAbout();
  drawBanner();
}

function drawAbout() {
  if (!server) return;
  $('about').replaceChildren(
    h('span', {}, `Headwater ${server.version}`),
    h('span', {}, t('server.up', { id: server.id, time: duration(server.uptime_seconds) })));
}

function drawBanner() {
  $('banner').hidden = !connection.lost;
  if (!connection.lost) return;
  $('banner').replaceChildren(
    h('span', {}, t('connection.lost')),
    h('button', { type: 'button', class: 'button small', on: { click: retry } }, t('connection.retry')));
}

/** Sets the shell up, once. */
export function startShell() {
  openMenu(false);
  $('menu').addEventListener('click', () => openMenu($('menu').getAttribute('aria-expanded') !== 'true'));
  $('nav').addEventListener('click', () => openMenu(false));
  addEventListener('keydown', event => {
    if (event.key === 'Escape' && $('side').classList.contains('open')) {
      openMenu(false);
      $('menu').focus();
    }
  });
  $('skip').addEventListener('click', event => {
    // The address names the view; it must not change.
    event.preventDefault();
    $('view').focus();
  });
  connection.on('lost', drawBanner);
  connection.on('back', drawBanner);
  // What fails every second is told every ten.
  let told = { text: '', at: 0 };
  problems.addEventListener('problem', ({ detail }) => {
    if (detail === told.text && Date.now() - told.at < 10_000) return;
    told = { text: detail, at: Date.now() };
    toast(detail, 'bad');
  });
  poll(async signal => {
    server = await api.get('/server', {}, signal);
    waiting.splice(0).forEach(resolve => resolve(server));
    drawAbout();
    serverNews.dispatchEvent(new Event('news'));
  }, 2000, new AbortController().signal);
}
