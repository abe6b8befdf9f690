// 图片: how many are chosen, all at once, and the large view that chooses too. Without it, it works.

import { all, one, show } from './lib/dom';
import { wireLightbox } from './lib/lightbox';

function wireCount(): void {
  const form = one<HTMLFormElement>('form[data-stills]');
  const bar = form && one('[data-bar]', form);
  if (!form || !bar) return;
  const boxes = all<HTMLInputElement>('input[name=key]', form);
  const count = one('[data-count]', bar);
  const everything = one<HTMLButtonElement>('[data-all]', form);
  const words = count?.dataset.count ?? '';
  const redraw = () => {
    const picked = boxes.filter((box) => box.checked);
    if (count) count.textContent = picked.length ? words.replace('{n}', String(picked.length)) : '';
    for (const button of all<HTMLButtonElement>('button', bar))
      button.setAttribute('aria-disabled', String(!picked.length));
    for (const box of boxes)
      one(`label.lightbox-pick[for="${box.id}"]`)?.classList.toggle('is-picked', box.checked);
  };
  form.addEventListener('change', redraw);
  show(everything, true);
  everything?.addEventListener('click', () => {
    const whole = boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = !whole;
    redraw();
  });
  // Back from another page, the browser may have kept what was chosen.
  window.addEventListener('pageshow', redraw);
  redraw();
}

wireCount();
wireLightbox();
