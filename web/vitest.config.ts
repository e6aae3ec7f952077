import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    maxWorkers: 2, // Two test files run at a time. Those with a browser mostly wait.
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
