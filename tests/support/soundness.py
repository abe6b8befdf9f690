"""What a page must not do, as scripts that list its faults: small targets, missing names, inline
styles, violations of the content policy."""

from __future__ import annotations

from playwright.sync_api import Page

WATCH_CSP = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (e) =>
  window.violations.push(e.violatedDirective + ' ' + e.blockedURI + ' ' + (e.sample || '')));
"""

SMALL_TARGETS = """(least) => {
  const wanted = 'button, .button, .nav-link, .subnav-link, .brand, .back, .tab, .segment, ' +
    '.segment-link, .choice, .check, .tally, .cell, .jump, .hit, ' +
    'input:not([type=hidden]):not([type=radio]), select, textarea, summary, ' +
    '.player-started media-control-bar > *:not(.player-space)';
  return [...document.querySelectorAll(wanted)]
    // A box inside a label is as large to the finger as the label.
    .filter((e) => !(e.type === 'checkbox' && e.closest('label.check, label.choice')))
    .filter((e) => e.checkVisibility() && !e.closest('.sr-only'))
    .map((e) => [e, e.getBoundingClientRect()])
    .filter(([, box]) => box.width > 0 && (box.height < least - 0.5 || box.width < 47.5))
    .map(([e, box]) => `${e.outerHTML.slice(0, 90)} ${box.width}x${box.height}`);
}"""

UNSOUND = """() => {
  const found = [];
  const start = (e) => e.outerHTML.slice(0, 90);
  const name = (e) => (e.getAttribute('aria-label') || e.textContent || '').trim() ||
    [...e.querySelectorAll('img[alt]')].map((i) => i.alt).join('');
  for (const e of document.querySelectorAll('a[href], button'))
    if (!name(e) && !e.closest('[aria-hidden=true]')) found.push('no name: ' + start(e));
  for (const e of document.querySelectorAll('input:not([type=hidden]), select, textarea'))
    if (!e.labels.length && !e.getAttribute('aria-label')) found.push('no label: ' + start(e));
  for (const e of document.querySelectorAll('img:not([alt])')) found.push('no alt: ' + e.src);
  for (const e of document.querySelectorAll('[aria-describedby], [aria-labelledby]'))
    for (const id of (e.getAttribute('aria-describedby') ||
        e.getAttribute('aria-labelledby')).split(' '))
      if (!document.getElementById(id)) found.push('points nowhere: ' + id);
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  ids.filter((id, i) => ids.indexOf(id) !== i).forEach((id) => found.push('id twice: ' + id));
  const heads = [...document.querySelectorAll('h1,h2,h3,h4')].filter((h) => h.checkVisibility());
  if (heads.filter((h) => h.tagName === 'H1').length !== 1) found.push('not one h1');
  heads.reduce((last, h) => {
    const level = Number(h.tagName[1]);
    if (last && level > last + 1) found.push('heading skips: ' + h.textContent);
    return level;
  }, 0);
  if (document.querySelectorAll('main').length !== 1) found.push('not one main');
  // A chart's canvas and the timeline are laid out by scripts, through the object model the policy
  // allows.
  for (const e of document.querySelectorAll('body [style]'))
    if (!e.closest('media-controller, .chart-box, .tracks'))
      found.push('style attribute: ' + start(e));
  return found;
}"""


def faults(page: Page, *, least: int = 48) -> list[str]:
    """Everything wrong with the open page; ``least``: pixels of a target."""
    found: list[str] = page.evaluate(SMALL_TARGETS, least)
    found += page.evaluate(UNSOUND)
    found += page.evaluate("window.violations")
    width = page.viewport_size["width"] if page.viewport_size else 0
    wide = page.evaluate("document.documentElement.scrollWidth")
    return found + ([f"wider than the window: {wide}"] if wide > width else [])
