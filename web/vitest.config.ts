import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    maxWorkers: 2, // The files with a browser wait more than they work.
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
