// The few places where WebRTC leaves us no API and the SDP text itself must be read or changed:
// asking for stereo Opus (RFC 7587 §7), and the fragments of an ICE restart (RFC 8840).
//
// Line oriented and total: text that is not as expected comes back unchanged, never throws.

/** One side's ICE credentials and candidates, as a `trickle-ice-sdpfrag` carries them. */
export interface IceFragment {
  ufrag: string;
  pwd: string;
  /** `a=candidate:` values without the `a=`; empty when the fragment names none. */
  candidates: string[];
}

/** Adds `stereo=1` to every Opus format: without it browsers decode (and ask for) mono. */
export function withStereoOpus(sdp: string): string {
  const opus = new Set([...sdp.matchAll(/^a=rtpmap:(\d+) opus\/48000\/2\r?$/gim)].map((match) => match[1]));
  return sdp.replace(/^(a=fmtp:(\d+) )([^\r\n]*)/gm, (line, head: string, payload: string, rest: string) =>
    opus.has(payload) && !/(^|;)\s*stereo=/.test(rest) ? `${head}${rest};stereo=1` : line,
  );
}

/** The body of the PATCH that asks for an ICE restart, from the browser's new local description. */
export function iceRestartFragment(localSdp: string): string | null {
  const ufrag = value(localSdp, 'ice-ufrag');
  const pwd = value(localSdp, 'ice-pwd');
  const media = /^m=[^\r\n]*/m.exec(localSdp)?.[0];
  if (!ufrag || !pwd || !media) return null;
  const lines = [`a=ice-ufrag:${ufrag}`, `a=ice-pwd:${pwd}`, media, `a=mid:${value(localSdp, 'mid') ?? '0'}`];
  return `${lines.join('\r\n')}\r\n`;
}

/** Reads what the server answered to an ICE restart; null when it holds no credentials. */
export function parseIceFragment(fragment: string): IceFragment | null {
  const ufrag = value(fragment, 'ice-ufrag');
  const pwd = value(fragment, 'ice-pwd');
  if (!ufrag || !pwd) return null;
  const candidates = [...fragment.matchAll(/^a=(candidate:[^\r\n]*)/gm)].map((match) => match[1] as string);
  return { ufrag, pwd, candidates };
}

/** The earlier answer with the ICE credentials (and candidates, if any are given) of a restart. */
export function withIceFragment(answer: string, fragment: IceFragment): string {
  let sdp = answer
    .replace(/^a=ice-ufrag:[^\r\n]*/gm, `a=ice-ufrag:${fragment.ufrag}`)
    .replace(/^a=ice-pwd:[^\r\n]*/gm, `a=ice-pwd:${fragment.pwd}`);
  if (fragment.candidates.length === 0) return sdp;
  sdp = sdp.replace(/^a=(candidate:[^\r\n]*|end-of-candidates)\r?\n/gm, '');
  // Candidates of a bundle belong to its first media section, right after its credentials.
  const lines = fragment.candidates.map((candidate) => `a=${candidate}\r\n`).join('');
  const section = sdp.search(/^m=/m);
  const head = sdp.slice(0, section);
  return head + sdp.slice(section).replace(/^m=[^\r\n]*\r?\n(?:[bci]=[^\r\n]*\r?\n)*/, (block) => block + lines);
}

function value(sdp: string, attribute: string): string | undefined {
  return new RegExp(`^a=${attribute}:([^\\r\\n]*)`, 'm').exec(sdp)?.[1];
}
