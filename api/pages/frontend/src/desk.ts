// The desk: partial updates, kept drafts, marks for a clip, an address bar that never resends a form.

import 'htmx.org/dist/htmx.js';
import { all, one, show, store } from './lib/dom';

const DRAFT = 'xitai.draft.';

/** The answer that carries a key was a POST: going back or reloading must not make another. */
function settleAddress(): void {
  const address = one('[data-address]')?.dataset.address;
  if (address) history.replaceState(null, '', address);
  // The broadcast is made: its draft has done its work.
  if (one('[data-created]')) store.remove(`${DRAFT}new-broadcast`);
}

/** What was typed is kept until the server has taken it. */
function wireDrafts(): void {
  for (const form of all<HTMLFormElement>('form[data-draft]')) {
    const key = `${DRAFT}${form.dataset.draft}`;
    const fields = () =>
      Array.from(form.elements).filter(
        (e): e is HTMLInputElement | HTMLTextAreaElement =>
          (e instanceof HTMLInputElement && ['text', 'datetime-local'].includes(e.type)) ||
          e instanceof HTMLTextAreaElement,
      );
    const kept = JSON.parse(store.get(key) ?? '{}') as Record<string, string>;
    for (const field of fields()) if (!field.value) field.value = kept[field.name] ?? '';
    form.addEventListener('input', () => {
      store.set(key, JSON.stringify(Object.fromEntries(fields().map((f) => [f.name, f.value]))));
    });
  }
}

function clock(seconds: number): string {
  const whole = Math.floor(seconds * 10) / 10;
  const minutes = Math.floor(whole / 60);
  const rest = (whole - minutes * 60).toFixed(1).padStart(4, '0').replace(/\.0$/, '');
  return `${minutes}:${rest}`;
}

/** In and out points come from where the replay stands. */
function wireMarks(): void {
  for (const button of all('[data-mark]')) show(button, true);
  document.addEventListener('click', (event) => {
    const button = (event.target as Element).closest<HTMLElement>('[data-mark]');
    const field = document.getElementById(button?.dataset.mark ?? '') as HTMLInputElement | null;
    if (field) field.value = clock(window.xitaiPlayer?.video.currentTime ?? 0);
  });
}

/** A clip of several stretches: one more row of fields, under names of its own. */
function wirePieces(): void {
  const button = one<HTMLButtonElement>('[data-add-piece]');
  if (!button) return;
  show(button, true);
  button.addEventListener('click', () => {
    const rows = all('[data-piece]');
    const last = rows[rows.length - 1];
    if (!last) return;
    const number = rows.length + 1;
    const row = last.cloneNode(true) as HTMLElement;
    row.querySelectorAll('.field-error').forEach((error) => error.remove());
    const renamed = (name: string) => name.replace(/(start|stop)(-\d+)?/g, `$1-${number}`);
    for (const field of all<HTMLInputElement>('input', row)) {
      field.value = '';
      field.removeAttribute('aria-invalid');
      // What nobody fills in is no stretch.
      field.required = false;
    }
    for (const name of ['id', 'for', 'aria-describedby', 'data-mark']) {
      for (const element of all(`[${name}]`, row)) {
        element.setAttribute(name, renamed(element.getAttribute(name) ?? ''));
      }
    }
    for (const field of all<HTMLInputElement>('input', row)) {
      const known = field.getAttribute('aria-describedby')?.split(' ') ?? [];
      const left = known.filter((id) => one(`#${id}`, row));
      if (left.length) field.setAttribute('aria-describedby', left.join(' '));
      else field.removeAttribute('aria-describedby');
    }
    const nth = (button.dataset.nth ?? '').replace('{n}', String(number));
    for (const label of all('label', row)) {
      label.textContent = (label.textContent ?? '').replace(/（[^）]*）\s*$/, '') + nth;
    }
    last.after(row);
    one<HTMLInputElement>('input', row)?.focus();
  });
}

settleAddress();
wireDrafts();
wireMarks();
wirePieces();
