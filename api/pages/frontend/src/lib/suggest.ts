// Suggestions under a search box: fetched as one types, picked by finger, mouse or keys.

import { all, one } from './dom';

const WAIT_MS = 160;

function wire(form: HTMLFormElement, number: number): void {
  const input = one<HTMLInputElement>('input[type=search]', form);
  const url = form.dataset.suggest;
  if (!input || !url) return;
  const list = document.createElement('ul');
  list.className = 'suggest';
  list.id = `suggest-${number}`;
  list.setAttribute('role', 'listbox');
  list.setAttribute('aria-label', input.labels?.[0]?.textContent ?? '');
  list.hidden = true;
  form.append(list);
  input.setAttribute('role', 'combobox');
  input.setAttribute('aria-autocomplete', 'list');
  input.setAttribute('aria-controls', list.id);
  input.setAttribute('aria-expanded', 'false');

  let timer = 0;
  let asked = '';
  let marked = -1;

  const open = (shown: boolean) => {
    list.hidden = !shown;
    input.setAttribute('aria-expanded', String(shown));
    if (!shown) mark(-1);
  };
  const mark = (index: number) => {
    marked = index;
    const items = all('li', list);
    items.forEach((item, i) => item.setAttribute('aria-selected', String(i === index)));
    const item = items[index];
    if (item) input.setAttribute('aria-activedescendant', item.id);
    else input.removeAttribute('aria-activedescendant');
    item?.scrollIntoView({ block: 'nearest' });
  };
  const pick = (text: string) => {
    input.value = text;
    open(false);
    form.requestSubmit ? form.requestSubmit() : form.submit();
  };
  const show = (words: string[]) => {
    list.replaceChildren(
      ...words.map((word, i) => {
        const item = document.createElement('li');
        item.id = `${list.id}-${i}`;
        item.setAttribute('role', 'option');
        item.textContent = word;
        return item;
      }),
    );
    mark(-1);
    open(words.length > 0 && document.activeElement === input);
  };
  const ask = async () => {
    const text = input.value.trim();
    asked = text;
    if (!text) return open(false);
    try {
      const answer = await fetch(`${url}?q=${encodeURIComponent(text)}`);
      const words = answer.ok ? ((await answer.json()) as string[]) : [];
      // An answer that comes late belongs to what was typed before.
      if (asked === text) show(words);
    } catch {
      open(false);
    }
  };

  input.addEventListener('input', () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => void ask(), WAIT_MS);
  });
  input.addEventListener('keydown', (event) => {
    const count = list.children.length;
    if (list.hidden || !count) return;
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      mark((marked + (event.key === 'ArrowDown' ? 1 : count - 1) + (marked < 0 && event.key === 'ArrowUp' ? 1 : 0)) % count);
    } else if (event.key === 'Enter' && marked >= 0) {
      event.preventDefault();
      pick(list.children[marked]?.textContent ?? '');
    } else if (event.key === 'Escape') {
      // It would empty a search field, too.
      event.preventDefault();
      open(false);
    }
  });
  // Before the box loses the focus, or the list would be gone before the click arrives.
  list.addEventListener('pointerdown', (event) => {
    const item = (event.target as Element).closest('li');
    if (!item) return;
    event.preventDefault();
    pick(item.textContent ?? '');
  });
  input.addEventListener('blur', () => open(false));
}

export function wireSuggest(): void {
  all<HTMLFormElement>('form[data-suggest]').forEach(wire);
}
