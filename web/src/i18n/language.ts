// Chooses the page's language and translates its texts. `?lang=` comes first, then the stored choice, then the
// browser's languages.

import { en, type Key, type Messages } from './en';
import { zh } from './zh';

export type { Key } from './en';

export const LANGUAGES = { en, zh } satisfies Record<string, Messages>;
export type Language = keyof typeof LANGUAGES;

const STORED = 'onmic.language';

export function chooseLanguage(query: string | null, stored: string | null, browser: readonly string[]): Language {
  for (const wanted of [query, stored, ...browser]) {
    const primary = wanted?.toLowerCase().split(/[-_]/)[0];
    if (primary && Object.hasOwn(LANGUAGES, primary)) return primary as Language;
  }
  return 'en';
}

/** Returns the text of `key`, with its `{name}` placeholders filled in. */
export function translate(language: Language, key: Key, values: Record<string, string | number> = {}): string {
  return filled(LANGUAGES[language][key], values);
}

export function filled(sentence: string, values: Record<string, string | number> = {}): string {
  return sentence.replace(/\{(\w+)\}/g, (hole, name: string) => String(values[name] ?? hole));
}

export class Speech {
  readonly language: Language;
  readonly #onChange: () => void;

  /** `onChange` is called after the viewer has chosen another language. The page then builds all its texts again. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
    const query = new URLSearchParams(location.search).get('lang');
    this.language = chooseLanguage(query, readStored(), navigator.languages);
    document.documentElement.lang = this.language === 'zh' ? 'zh-CN' : this.language;
  }

  readonly say = (key: Key, values?: Record<string, string | number>): string => translate(this.language, key, values);

  /** Returns the text of `one` for 1, and else the text of `many` with the count. */
  count(one: Key, many: Key, count: number): string {
    return count === 1 ? this.say(one) : this.say(many, { count: count.toLocaleString(this.language) });
  }

  duration(ms: number): string {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    if (seconds < 60) return this.say('time.seconds', { seconds });
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return this.say('time.minutes', { minutes });
    return this.say('time.hours', { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
  }

  /** Fills every `data-say` (text) and `data-say-label` (accessible name and tooltip) below `root`. */
  fill(root: ParentNode, values?: Record<string, string | number>): void {
    for (const element of root.querySelectorAll<HTMLElement>('[data-say]')) {
      element.textContent = this.say(element.dataset['say'] as Key, values);
    }
    for (const element of root.querySelectorAll<HTMLElement>('[data-say-label]')) {
      label(element, this.say(element.dataset['sayLabel'] as Key, values));
    }
  }

  choose(language: Language): void {
    try {
      localStorage.setItem(STORED, language);
    } catch {
      // If storage is off, the choice is kept in the address only.
    }
    const url = new URL(location.href);
    url.searchParams.set('lang', language);
    history.replaceState(null, '', url);
    this.#onChange();
  }
}

/** Sets accessible name and tooltip. */
export function label(element: HTMLElement, text: string): void {
  element.setAttribute('aria-label', text);
  element.title = text;
}

function readStored(): string | null {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null;
  }
}
