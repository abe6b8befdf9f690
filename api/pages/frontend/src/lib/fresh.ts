// Parts of a page that change by themselves: fetched again from the page's own address.

import { all } from './dom';

/** ``data-fresh`` is how often, in seconds; without it the new one is the last. */
export function wireFresh(): void {
  for (const box of all('[data-fresh]')) {
    const again = async () => {
      if (document.hidden) return soon();
      try {
        const answer = await fetch(window.location.pathname, { headers: { accept: 'text/html' } });
        if (!answer.ok) return soon();
        const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
        // What was being made can be watched now: a player is set up by the page as it loads.
        const player = '[data-player]';
        if (page.querySelector(player) && !document.querySelector(player)) window.location.reload();
        const fresh = page.getElementById(box.id);
        if (!fresh) return;
        if (box.innerHTML !== fresh.innerHTML) box.replaceChildren(...fresh.childNodes);
        if (fresh.dataset.fresh) soon();
      } catch {
        soon();
      }
    };
    const soon = () => {
      window.setTimeout(() => void again(), Number(box.dataset.fresh) * 1000);
    };
    soon();
  }
}
