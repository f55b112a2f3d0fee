// The languages of the page.
import en from './lang/en.js';
import zh from './lang/zh.js';
import { load, save } from './store.js';

const dictionaries = { en, zh };

/** The languages to choose from, by their own names. */
export const languages = { en: 'English', zh: '中文' };

function chosen() {
  const stored = load('language');
  if (stored in dictionaries) return stored;
  const wish = (navigator.languages ?? [navigator.language])
    .map(tag => String(tag).slice(0, 2).toLowerCase())
    .find(tag => tag in dictionaries);
  return wish ?? 'en';
}

let current = chosen();

/** Tells of a change of the language. */
export const changes = new EventTarget();

/** The language in use. */
export function language() {
  return current;
}

/** Changes the language and remembers it. */
export function setLanguage(tag) {
  if (!(tag in dictionaries) || tag === current) return;
  current = tag;
  save('language', tag);
  changes.dispatchEvent(new Event('change'));
}

/**
 * The text of a key, with `{names}` replaced by values; of `{name|one|several}`, what fits the
 * value's number.
 */
export function t(key, values) {
  const text = dictionaries[current][key] ?? en[key] ?? key;
  if (!values) return text;
  return text.replace(/\{(\w+)(?:\|(\w+)\|(\w+))?\}/g, (whole, name, one, several) => {
    if (!(name in values)) return whole;
    const value = String(values[name]);
    return one ? `${value} ${value === '1' ? one : several}` : value;
  });
}

/** The text of a key if there is one, else what was given: for words of the server. */
export function word(key, otherwise) {
  return dictionaries[current][key] ?? en[key] ?? otherwise;
}
