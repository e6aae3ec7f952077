// Lists the layouts that have a name. Any other layout is `custom`.

export const LAYOUTS = ['solo', 'side-by-side', 'grid', 'picture-in-picture', 'host-and-strip'] as const;
