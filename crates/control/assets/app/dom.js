// Builds elements. Text is always text: nothing of a server is ever read as markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else if (name === 'data') {
      for (const [key, text] of Object.entries(value)) made.dataset[key] = text;
    } else if (name === 'value' && 'value' in made) {
      made.value = value;
    } else {
      made.setAttribute(name, value === true ? '' : value);
    }
  }
  // Options must be there before a value can choose one.
  made.append(...children.flat(Infinity)
    .filter(child => child !== null && child !== undefined && child !== false));
  if (made.localName === 'select' && attributes?.value !== undefined) made.value = attributes.value;
  return made;
}

/** An HTML element: attributes, `on` for listeners, `data` for data attributes, and children. */
export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Sets text only if it differs: selections of text survive, and layout is not redone. */
export function setText(node, text) {
  const string = String(text ?? '');
  if (node.textContent !== string) node.textContent = string;
}

/** Sets or removes an attribute if that changes anything. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

/**
 * Makes the children of `parent` match `items`. Elements are kept by key, so that focus and
 * selection stay where they are while figures change. `make` builds an element with a method
 * `update(item)`.
 */
export function reconcile(parent, items, key, make) {
  const kept = parent.keyed ?? (parent.keyed = new Map());
  const wanted = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const id = key(item);
    if (wanted.has(id)) continue;
    wanted.add(id);
    let element = kept.get(id);
    if (!element) {
      element = make(item);
      kept.set(id, element);
    }
    element.update(item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const [id, element] of kept) {
    if (wanted.has(id)) continue;
    element.remove();
    kept.delete(id);
  }
}

/** Calls `work` once the calls have ceased for some time: for search fields. */
export function debounce(work, milliseconds = 250) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...values), milliseconds);
  };
}
