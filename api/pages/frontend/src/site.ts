// What every page has: countdowns, copying, sharing, dialogs, larger type without a reload.

import { all, one, show, toast } from './lib/dom';

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Plain http has no clipboard API; the old way still works.
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'sr-only';
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

function wireCopy(): void {
  document.addEventListener('click', (event) => {
    const button = (event.target as Element).closest<HTMLElement>('[data-copy]');
    if (!button) return;
    const text = document.getElementById(button.dataset.copy ?? '')?.textContent?.trim() ?? '';
    void copy(text).then((done) => {
      if (done) toast(button.dataset.done ?? '✓');
    });
  });
}

function wireShare(): void {
  for (const button of all('[data-share]')) {
    if (!('share' in navigator)) continue;
    show(button, true);
    button.addEventListener('click', () => {
      const { title = '', url = '' } = button.dataset;
      void navigator.share({ title, url }).catch(() => undefined);
    });
  }
}

/** The server says it in words; within the last hour the page counts the seconds itself. */
function wireCountdowns(): void {
  const marks = all('[data-until]');
  if (!marks.length) return;
  window.setInterval(() => {
    for (const mark of marks) {
      const left = Math.ceil((Date.parse(mark.dataset.until ?? '') - Date.now()) / 1000);
      if (!(left > 0 && left < 3600)) continue;
      mark.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`;
    }
  }, 1000);
}

/** A poster that moves: fetched again now and then, shown only once it has come. */
function wirePosters(): void {
  for (const image of all<HTMLImageElement>('img[data-moving]')) {
    const base = image.src;
    window.setInterval(() => {
      if (document.hidden) return;
      const next = new Image();
      next.onload = () => (image.src = next.src);
      next.src = `${base}?t=${Math.floor(Date.now() / 10_000)}`;
    }, 10_000);
  }
}

function wireDialogs(): void {
  document.addEventListener('click', (event) => {
    const target = event.target as Element;
    const opener = target.closest<HTMLElement>('[data-opens]');
    if (opener) {
      event.preventDefault();
      document.querySelector<HTMLDialogElement>(`#${opener.dataset.opens}`)?.showModal();
    }
    const closer = target.closest<HTMLElement>('dialog [data-closes]');
    if (closer) {
      event.preventDefault();
      closer.closest('dialog')?.close();
    }
  });
}

/** Larger type must not stop the show that is playing: no reload. */
function wireElder(): void {
  const form = one<HTMLFormElement>('[data-elder-form]');
  const button = form && one<HTMLButtonElement>('button', form);
  if (!form || !button || !one('[data-player]')) return;
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const on = document.documentElement.classList.toggle('elder');
    void fetch(form.action, {
      method: 'POST',
      body: new URLSearchParams({ back: '/', elder: on ? '1' : '0' }),
      redirect: 'manual',
    }).catch(() => undefined);
    button.setAttribute('aria-pressed', String(on));
  });
}

/** A slow network and an impatient finger must not send a form twice. */
function wireForms(): void {
  document.addEventListener('submit', (event) => {
    if (event.defaultPrevented) return;
    const form = event.target as HTMLFormElement;
    // A download leaves the page as it is, and another may be wanted at once.
    if ((event as SubmitEvent).submitter?.hasAttribute('data-download')) return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = '1';
    const button = (event as SubmitEvent).submitter;
    button?.setAttribute('aria-busy', 'true');
    window.setTimeout(() => {
      delete form.dataset.sent;
      button?.removeAttribute('aria-busy');
    }, 8000);
  });
}

wireCopy();
wireShare();
wireCountdowns();
wirePosters();
wireDialogs();
wireElder();
wireForms();
