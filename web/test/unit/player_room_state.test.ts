import { describe, expect, it } from 'vitest';
import { hasVideo, roomState } from '../../src/player/room_state';

const video = { codec: 'h264' };

describe('the room as the player sees it', () => {
  it('has_video_if_any_participant_sends_it_or_the_one_that_is_watched', () => {
    const room = {
      live: true,
      participants: [
        { name: 'host', video: null },
        { name: 'ben', video },
      ],
    };
    expect(hasVideo(room)).toBe(true);
    expect(hasVideo(room, 'ben')).toBe(true);
    expect(hasVideo(room, 'host')).toBe(false);
    expect(hasVideo({ live: true, participants: [] })).toBe(false);
    expect(hasVideo({ live: true, participants: [{ name: 'host', video: { codec: 'h264', fps: 0 } }] })).toBe(false);
  });

  it.each([null, 7, 'room', {}, { participants: 3 }])('does_not_say_so_in_%j', (room) => {
    expect(hasVideo(room)).toBeUndefined();
  });

  it('is_live_while_any_participant_is', () => {
    const of = (...states: string[]) => roomState({ live: true, participants: states.map((state) => ({ state })) });
    expect([of('interrupted', 'live'), of('interrupted'), of()]).toEqual(['live', 'interrupted', 'live']);
  });
});
