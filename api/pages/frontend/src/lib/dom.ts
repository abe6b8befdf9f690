// Small helpers over the page; none of them holds words, those come from the server's HTML.

export function all<T extends HTMLElement = HTMLElement>(
  selector: string,
  root: ParentNode = document,
): T[] {
  return Array.from(root.querySelectorAll<T>(selector));
}

export function one<T extends HTMLElement = HTMLElement>(
  selector: string,
  root: ParentNode = document,
): T | null {
  return root.querySelector<T>(selector);
}

export function show(element: HTMLElement | null, visible: boolean): void {
  if (element) element.hidden = !visible;
}

export function toast(text: string, bad = false): void {
  const box = one('[data-toasts]');
  if (!box) return;
  const note = document.createElement('p');
  note.className = bad ? 'toast toast-bad' : 'toast';
  note.textContent = text;
  box.append(note);
  setTimeout(() => note.remove(), 4000);
}

/** localStorage that may be forbidden (private windows, full quota). */
export const store = {
  get(key: string): string | null {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  },
  set(key: string, value: string): boolean {
    try {
      localStorage.setItem(key, value);
      return true;
    } catch {
      return false;
    }
  },
  remove(key: string): void {
    try {
      localStorage.removeItem(key);
    } catch {
      // Nothing was kept, so nothing is left behind.
    }
  },
  keys(prefix: string): string[] {
    try {
      return Object.keys(localStorage).filter((key) => key.startsWith(prefix));
    } catch {
      return [];
    }
  },
};

/** A random UUID, also on plain http in a hall's own network, where randomUUID is missing. */
export function uuid(): string {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID();
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = ((b[6] ?? 0) & 0x0f) | 0x40;
  b[8] = ((b[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, '0')).join('');
  return [8, 12, 16, 20].reduce((text, at, i) => `${text.slice(0, at + i)}-${text.slice(at + i)}`, hex);
}

/** `ms` give or take a fifth, so that a hall full of phones does not ask in step. */
export function jitter(ms: number): number {
  return ms * (0.8 + Math.random() * 0.4);
}
