// Is a promise together with the functions that settle it.

export interface PromiseWithResolver {
  promise: Promise<void>;
  resolve: () => void;
  reject: (error: Error) => void;
}

export function promiseWithResolver(): PromiseWithResolver {
  let resolve: () => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
