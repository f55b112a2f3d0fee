// Streams that come from other servers, that go there, and that devices send to ports of their own.
import { api, poll } from '../api.js';
import { t } from '../i18n.js';
import { viewHead } from '../parts/controls.js';
import { receiversCard } from '../parts/receivers.js';
import { pullsCard, pushesCard } from '../parts/relays.js';

/** The view. */
export function relaysView(root, { signal }) {
  const followed = (make, path) => {
    const card = make(() => refresh());
    const refresh = poll(async () => {
      const answer = await api.get(path, {}, signal);
      if (!signal.aborted) card.update(answer.items);
    }, 2000, signal);
    return card;
  };
  root.append(viewHead(t('nav.relays'), t('relays.text')),
    followed(pullsCard, '/pulls'), followed(pushesCard, '/pushes'), followed(receiversCard, '/receivers'));
  return t('nav.relays');
}
