// Small settings that outlive a page. Storage may be forbidden: then they last as long as it.

const memory = new Map();

function storage(lasting) {
  try {
    return lasting ? localStorage : sessionStorage;
  } catch {
    return null;
  }
}

/** Reads a setting; null if it was never written. */
export function load(key, lasting = true) {
  const name = `headwater.${key}`;
  try {
    return storage(lasting)?.getItem(name) ?? memory.get(name) ?? null;
  } catch {
    return memory.get(name) ?? null;
  }
}

/** Writes a setting; null forgets it. */
export function save(key, value, lasting = true) {
  const name = `headwater.${key}`;
  if (value === null) memory.delete(name);
  else memory.set(name, value);
  try {
    if (value === null) storage(lasting)?.removeItem(name);
    else storage(lasting)?.setItem(name, value);
  } catch {
    // The value is in memory.
  }
}
