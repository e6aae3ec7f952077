// The barcode of the test picture. It states when a frame was drawn, the number of the frame, and how long ago the beep
// began.
//
// The picture is a grid of 64 x 36 squares. The top twelve rows hold 16 x 4 cells of 4 x 3 squares. Each cell is black
// or white. A cell is 80 x 60 pixels at 720p, so it stays readable at any bitrate and any scaling. This file knows
// nothing of files, pipes or pages: Node and the browser load the same code.

export const GRID_WIDTH = 64;
export const GRID_HEIGHT = 36;
export const CODE_HEIGHT = 12;

const COLUMNS = 16;
const ROWS = 4;
const CELL_WIDTH = GRID_WIDTH / COLUMNS;
const CELL_HEIGHT = CODE_HEIGHT / ROWS;
const MAGIC = 0b1010;

/** The count of frames since the beep began stops at this number. */
export const BEEP_AGE_MAX = 15;

/**
 * Returns the CRC-8 (polynomial 0x07) of seven bytes, so that a half-updated or smeared frame is not read as a time.
 */
function crc8(bytes) {
  let crc = 0x5a;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : (crc << 1) & 0xff;
  }
  return crc;
}

/** Returns eight bytes: magic and beep age, 32 bits of milliseconds, 16 bits of frame counter, CRC. */
export function encodeCode({ timeMs, counter, beepAge }) {
  const time = timeMs % 2 ** 32;
  const bytes = [
    (MAGIC << 4) | Math.min(beepAge, BEEP_AGE_MAX),
    Math.floor(time / 2 ** 24) & 0xff,
    Math.floor(time / 2 ** 16) & 0xff,
    Math.floor(time / 2 ** 8) & 0xff,
    Math.floor(time) & 0xff,
    (counter >> 8) & 0xff,
    counter & 0xff,
  ];
  return [...bytes, crc8(bytes)];
}

/** Calls `paint(x, y, width, height, white)` for every cell, in grid squares. */
export function paintCode(code, paint) {
  for (let index = 0; index < COLUMNS * ROWS; index += 1) {
    const white = ((code[index >> 3] >> (7 - (index & 7))) & 1) === 1;
    const column = index % COLUMNS;
    const row = Math.floor(index / COLUMNS);
    paint(column * CELL_WIDTH, row * CELL_HEIGHT, CELL_WIDTH, CELL_HEIGHT, white);
  }
}

/**
 * Reads the code through `luma(x, y)`, which returns the brightness (0-255) at a point given in grid squares. Returns
 * null if the frame does not hold a whole code. `nowMs` supplies the high bits of the time, which the code omits.
 */
export function readCode(luma, nowMs) {
  const bytes = new Array(8).fill(0);
  for (let index = 0; index < COLUMNS * ROWS; index += 1) {
    const x = ((index % COLUMNS) + 0.5) * CELL_WIDTH;
    const y = (Math.floor(index / COLUMNS) + 0.5) * CELL_HEIGHT;
    if (luma(x, y) >= 128) bytes[index >> 3] |= 0x80 >> (index & 7);
  }
  if (bytes[0] >> 4 !== MAGIC || crc8(bytes.slice(0, 7)) !== bytes[7]) return null;
  const low = bytes[1] * 2 ** 24 + bytes[2] * 2 ** 16 + bytes[3] * 2 ** 8 + bytes[4];
  const high = Math.round((nowMs - low) / 2 ** 32) * 2 ** 32;
  return { timeMs: high + low, counter: bytes[5] * 256 + bytes[6], beepAge: bytes[0] & 0x0f };
}
