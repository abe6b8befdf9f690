// Pictures opened by their address: the keyboard turns them too, and turning leaves no trail.

import { one } from './dom';

/** The open one; `:target` is asked, so that what the page shows and what this says never differ. */
export function openBox(): HTMLElement | null {
  return one('[data-lightbox]:target');
}

export function wireLightbox(): void {
  document.addEventListener('keydown', (event) => {
    const box = openBox();
    if (!box || event.altKey || event.ctrlKey || event.metaKey) return;
    const wanted = { ArrowLeft: '[data-before]', ArrowRight: '[data-after]', Escape: '[data-close]' }[event.key];
    const link = wanted && one<HTMLAnchorElement>(wanted, box);
    if (!link) return;
    event.preventDefault();
    link.click();
  });
  document.addEventListener('click', (event) => {
    const link = (event.target as Element).closest<HTMLAnchorElement>('a[href^="#"]');
    if (!link || !openBox()) return;
    // However many were turned over, going back once leaves them.
    event.preventDefault();
    location.replace(link.hash);
  });
  window.addEventListener('hashchange', () => {
    const box = openBox();
    if (!box) return;
    one('[data-after], [data-before], [data-close]', box)?.focus({ preventScroll: true });
    // The next one is on its way before it is asked for.
    const next = one<HTMLAnchorElement>('[data-after]', box);
    const image = next && one<HTMLImageElement>(`${next.hash} img`);
    if (image) image.loading = 'eager';
  });
}
