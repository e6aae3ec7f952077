import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    maxWorkers: 2, // Two test files run at a time. Those with a browser mostly wait.
    retry: 1, // Browsers and peers share the machine in real time. The report names each test that was tried again.
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
