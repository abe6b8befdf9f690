// 资源库: suggestions, choosing several records, rows for people.

import { all, one, show } from './lib/dom';
import { wireLightbox } from './lib/lightbox';
import { wireSuggest } from './lib/suggest';

/** The bar of what can be done with the chosen records follows along once there is one. */
function wirePicks(): void {
  const form = one<HTMLFormElement>('form[data-bulk]');
  const bar = form && one('[data-pickbar]', form);
  if (!form || !bar) return;
  const boxes = all<HTMLInputElement>('.pick input', form);
  const everything = one<HTMLButtonElement>('[data-pick-all]', form);
  const count = one('[data-picked]', form);
  const redraw = () => {
    const picked = boxes.filter((box) => box.checked).length;
    if (count) count.textContent = String(picked);
    bar.classList.toggle('has-picks', picked > 0);
  };
  form.addEventListener('change', redraw);
  show(everything, true);
  everything?.addEventListener('click', () => {
    const all = boxes.every((box) => box.checked);
    for (const box of boxes) box.checked = !all;
    redraw();
  });
  // Back from another page, the browser may have kept what was chosen.
  window.addEventListener('pageshow', redraw);
  redraw();
}

/** Rows for people are there empty without a script; with one, they come and go. */
function wirePeople(): void {
  const box = one('[data-people]');
  const add = box && one<HTMLButtonElement>('[data-add]', box);
  const rows = () => (box ? all('[data-person]', box) : []);
  const blank = rows().pop();
  if (!box || !add || !blank) return;
  const model = blank.cloneNode(true) as HTMLElement;
  const name = (row: HTMLElement) => one<HTMLInputElement>('input', row);
  rows()
    .filter((row) => !name(row)?.value)
    .slice(1)
    .forEach((row) => row.remove());
  box.addEventListener('click', (event) => {
    const remove = (event.target as Element).closest('[data-remove]');
    const row = remove?.closest<HTMLElement>('[data-person]');
    if (!row) return;
    if (rows().length > 1) row.remove();
    else if (name(row)) name(row)!.value = '';
  });
  add.addEventListener('click', () => {
    const row = model.cloneNode(true) as HTMLElement;
    const field = name(row);
    if (field) field.value = '';
    show(one('[data-remove]', row), true);
    add.before(row);
    field?.focus();
  });
  for (const button of all('[data-remove]', box)) show(button, true);
  show(add, true);
}

/** A file that would be refused is better refused before it goes up a village's network. */
function wireFiles(): void {
  for (const input of all<HTMLInputElement>('input[type=file][data-most]')) {
    const { most, mostAll, tooLarge = '' } = input.dataset;
    input.addEventListener('change', () => {
      let sum = 0;
      let bad = '';
      for (const file of Array.from(input.files ?? [])) {
        sum += file.size;
        if (!bad && (file.size > Number(most) || sum > Number(mostAll))) bad = file.name;
      }
      input.setCustomValidity(bad && tooLarge.replace('{name}', bad));
      input.reportValidity();
    });
  }
}

document.documentElement.classList.add('scripted');
wireSuggest();
wirePicks();
wirePeople();
wireFiles();
wireLightbox();
