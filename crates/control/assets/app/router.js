// Views by the part of the address behind `#`: the server needs to know nothing of them.

const routes = [];
let outlet = null;
let leaving = null;
let fallback = '/';

/** What the address says: the parts of the path, and the query. */
export function here() {
  const [path, query = ''] = location.hash.replace(/^#/, '').split('?');
  const parts = path.split('/').filter(Boolean).map(part => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { parts, query: new URLSearchParams(query) };
}

/** Shows `view` for addresses whose first part is `first`. */
export function route(first, view) {
  routes.push({ first, view });
}

/** Goes to an address behind `#`. */
export function go(address, replace = false) {
  if (replace) {
    history.replaceState(null, '', `#${address}`);
    show();
  } else {
    location.hash = address;
  }
}

/** Changes the query of the address without showing the view anew. */
export function setQuery(values) {
  const { query } = here();
  for (const [key, value] of Object.entries(values)) {
    if (value === '' || value === null || value === undefined) query.delete(key);
    else query.set(key, value);
  }
  const path = location.hash.replace(/^#/, '').split('?')[0] || '/';
  history.replaceState(null, '', `#${path}${query.size ? `?${query}` : ''}`);
}

/** The address of a stream's view. */
export function streamAddress(name, query = '') {
  return `/streams/${name.split('/').map(encodeURIComponent).join('/')}${query}`;
}

/** Shows the view of the present address. */
export function show({ focus = true } = {}) {
  const { parts, query } = here();
  const found = routes.find(({ first }) => first === (parts[0] ?? ''));
  if (!found) {
    go(fallback, true);
    return;
  }
  leaving?.abort();
  leaving = new AbortController();
  const root = document.createElement('div');
  root.className = 'view';
  outlet.replaceChildren(root);
  const title = found.view(root, { parts: parts.slice(1), query, signal: leaving.signal });
  document.title = title ? `${title} · Headwater` : 'Headwater';
  for (const link of document.querySelectorAll('#nav a')) {
    const open = link.dataset.first === (parts[0] === 'streams' ? '' : parts[0] ?? '');
    if (open) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  scrollTo(0, 0);
  // Those who cannot see the page hear where they are.
  if (focus) root.querySelector('h1')?.focus({ preventScroll: true });
}

/** Begins to show views in `element`. */
export function start(element) {
  outlet = element;
  addEventListener('hashchange', () => {
    if (location.hash === '' || location.hash.startsWith('#/')) show();
  });
  show({ focus: false });
}
