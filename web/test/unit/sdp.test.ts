import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import {
  iceRestartFragment,
  parseIceFragment,
  withFeedback,
  withIceFragment,
  withStereoOpus,
} from '../../src/player/sdp';

/** Returns the offer of a browser that watches, as the tests of the server have it. */
function offerOf(browser: 'chromium' | 'firefox'): string {
  const file = new URL(`../../../rtc/src/sdp/golden/${browser}-whep.offer.sdp`, import.meta.url);
  return readFileSync(file, 'utf8').replace(/\r?\n/g, '\r\n');
}

const ANSWER = [
  'v=0',
  'o=- 1 1 IN IP4 127.0.0.1',
  's=-',
  'a=ice-lite',
  'm=video 9 UDP/TLS/RTP/SAVPF 102',
  'c=IN IP4 0.0.0.0',
  'a=ice-ufrag:old1',
  'a=ice-pwd:oldoldoldoldoldoldoldold',
  'a=candidate:1 1 udp 2130706431 10.0.0.1 8189 typ host',
  'a=end-of-candidates',
  'a=mid:0',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'c=IN IP4 0.0.0.0',
  'a=ice-ufrag:old1',
  'a=ice-pwd:oldoldoldoldoldoldoldold',
  'a=mid:1',
  '',
].join('\r\n');

it('every_opus_format_asks_for_stereo_once', () => {
  const sdp =
    'a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\na=fmtp:102 level-asymmetry-allowed=1\r\n';
  const stereo = withStereoOpus(sdp);
  expect(stereo).toContain('a=fmtp:111 minptime=10;useinbandfec=1;stereo=1\r\n');
  expect(stereo).toContain('a=fmtp:102 level-asymmetry-allowed=1\r\n');
  expect(withStereoOpus(stereo)).toBe(stereo);
});

it('sprop_stereo_is_not_mistaken_for_stereo', () => {
  const sdp = 'a=rtpmap:96 opus/48000/2\r\na=fmtp:96 sprop-stereo=1\r\n';
  expect(withStereoOpus(sdp)).toContain('sprop-stereo=1;stereo=1');
});

it('a_restart_fragment_has_credentials_and_one_media_line', () => {
  expect(iceRestartFragment(ANSWER)).toBe(
    'a=ice-ufrag:old1\r\na=ice-pwd:oldoldoldoldoldoldoldold\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:0\r\n',
  );
  expect(iceRestartFragment('v=0\r\n')).toBeNull();
});

it('a_restart_answer_replaces_credentials_everywhere_and_candidates_once', () => {
  const fragment = parseIceFragment(
    'a=ice-ufrag:new1\r\na=ice-pwd:newnewnew\r\nm=video 9 X 0\r\na=mid:0\r\na=candidate:2 1 udp 1 10.0.0.2 8190 typ host\r\n',
  );
  expect(fragment).not.toBeNull();
  if (!fragment) return;
  const sdp = withIceFragment(ANSWER, fragment);
  expect(sdp.match(/ice-ufrag:new1/g)).toHaveLength(2);
  expect(sdp).not.toMatch(/old|10\.0\.0\.1 /);
  expect(sdp).toMatch(/m=video[^\r]*\r\nc=IN IP4 0\.0\.0\.0\r\na=candidate:2 /);
  expect(sdp.match(/candidate:2/g)).toHaveLength(1);
});

it('a_restart_answer_without_candidates_keeps_the_old_ones', () => {
  const sdp = withIceFragment(ANSWER, { ufrag: 'n', pwd: 'p', candidates: [] });
  expect(sdp).toContain('a=candidate:1 1 udp 2130706431 10.0.0.1 8189 typ host');
});

it('a_fragment_without_credentials_is_refused', () => {
  expect([parseIceFragment(''), parseIceFragment('a=ice-ufrag:x\r\n'), parseIceFragment('<html>')]).toEqual([
    null,
    null,
    null,
  ]);
});

it.each([
  ['chromium', 111, ['96', '98', '100', '35', '37', '102', '104', '108', '114', '116', '39', '41', '43', '45', '47']],
  ['firefox', 109, ['120', '121', '126', '97']],
] as const)('the_offer_of_%s_asks_for_lost_audio_and_for_round_trips', (browser, opus, video) => {
  const offer = offerOf(browser);
  const asked = withFeedback(offer);
  const before = new Set(offer.split('\r\n'));
  const added = asked.split('\r\n').filter((line) => !before.has(line));
  expect(added.sort()).toEqual(
    [`a=rtcp-fb:${opus} nack`, `a=rtcp-fb:${opus} rrtr`, ...video.map((payload) => `a=rtcp-fb:${payload} rrtr`)].sort(),
  );
  // Nothing else changes, redundant audio stays, and what is asked for once is not asked for twice.
  expect(asked.split('\r\n').filter((line) => !added.includes(line))).toEqual(offer.split('\r\n'));
  expect(withFeedback(asked)).toBe(asked);
});

it('each_feedback_is_in_the_section_of_its_codec_and_after_its_rtpmap', () => {
  const audio = (withFeedback(offerOf('firefox')).split(/^m=/m)[1] ?? '').split('\r\n');
  const at = audio.indexOf('a=rtpmap:109 opus/48000/2');
  expect(audio.slice(at, at + 3)).toEqual(['a=rtpmap:109 opus/48000/2', 'a=rtcp-fb:109 nack', 'a=rtcp-fb:109 rrtr']);
  expect(audio.filter((line) => line.startsWith('a=rtcp-fb:120'))).toEqual([]);
});

it('an_offer_without_media_is_unchanged', () => {
  expect([withFeedback(''), withFeedback('v=0\r\n'), withFeedback('<html>')]).toEqual(['', 'v=0\r\n', '<html>']);
});
