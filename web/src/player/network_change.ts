// Tells that the browser may use another network now, as a phone that leaves its Wi-Fi.
//
// Browsers also report new guesses of the speed as a change of `navigator.connection`. Those do not count: only another kind
// of network does, where the browser tells the kind.

interface Connection extends EventTarget {
  type?: string;
}

/** Calls `onChange` until `signal` is aborted. `isBack` means that there was no network before. */
export function watchNetworkChange(onChange: (isBack: boolean) => void, signal: AbortSignal): void {
  window.addEventListener('online', () => onChange(true), { signal });
  const { connection } = navigator as { connection?: Connection };
  let kind = connection?.type;
  connection?.addEventListener?.(
    'change',
    () => {
      const before = kind;
      kind = connection.type;
      if (kind !== before && kind !== 'none') onChange(false);
    },
    { signal },
  );
}
