// The programme list's form: another row when wanted, always one more to write in.

import { all, one, show } from './lib/dom';

function wire(form: HTMLElement): void {
  const rows = one('[data-rows]', form)!;
  const template = one<HTMLTemplateElement>('[data-row-template]', form)!;
  const add = one('[data-add-row]', form)!;
  const number = () =>
    all('[data-line]', rows).forEach((row, i) => (one('.act-number', row)!.textContent = String(i + 1)));
  const more = (): HTMLElement => {
    const row = template.content.firstElementChild!.cloneNode(true) as HTMLElement;
    rows.append(row);
    number();
    return row;
  };
  show(add, true);
  add.addEventListener('click', () => one<HTMLInputElement>('[name=title]', more())?.focus());
  rows.addEventListener('input', () => {
    const last = all('[data-line]', rows).pop();
    if (last && one<HTMLInputElement>('[name=title]', last)?.value) more();
  });
}

for (const form of all('[data-programme]')) wire(form);
