// Readies the page for media-chrome, before any of its elements is defined.

import { addTranslation, setLanguage } from 'media-chrome/dist/utils/i18n.js';
import { ZhCn } from 'media-chrome/dist/lang/zh-CN.js';
import { ZhTw } from 'media-chrome/dist/lang/zh-TW.js';

const nonce = document.querySelector<HTMLMetaElement>('meta[name=xitai-nonce]')?.content ?? '';

/** Its shadow styles are <style> elements, which our CSP lets in by nonce only. */
function withNonce(html: string): string {
  return html.replace(/<style(?=[\s>])/g, `<style nonce="${nonce}"`);
}

const plain = Object.getOwnPropertyDescriptor(ShadowRoot.prototype, 'innerHTML');
if (plain?.set && plain.get) {
  const { get, set } = plain;
  Object.defineProperty(ShadowRoot.prototype, 'innerHTML', {
    ...plain,
    get,
    set(this: ShadowRoot, html: string) {
      set.call(this, withNonce(html));
    },
  });
}
const unsafe = ShadowRoot.prototype.setHTMLUnsafe as ((html: string) => void) | undefined;
if (unsafe) {
  ShadowRoot.prototype.setHTMLUnsafe = function (this: ShadowRoot, html: unknown) {
    unsafe.call(this, withNonce(String(html)));
  } as typeof ShadowRoot.prototype.setHTMLUnsafe;
}

const ours = document.documentElement.lang;
addTranslation('zh-CN', { ...ZhCn, live: '直播', 'seek to live': '回到直播' });
addTranslation('zh-TW', { ...ZhTw, live: '直播', 'seek to live': '回到直播' });
setLanguage(ours === 'zh-Hant' ? 'zh-TW' : ours === 'en' ? 'en' : 'zh-CN');
