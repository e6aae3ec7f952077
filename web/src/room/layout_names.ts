// The layouts that have a name; any other is `custom`.

export const LAYOUTS = ['solo', 'side-by-side', 'grid', 'picture-in-picture', 'host-and-strip'] as const;
