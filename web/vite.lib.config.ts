// Builds the SDK as one ES module. hls.js stays a dependency, which the user's bundler resolves.
import { defineConfig } from 'vite';

export default defineConfig({
  publicDir: false,
  build: {
    target: 'es2022',
    outDir: 'dist-lib',
    sourcemap: true,
    minify: false,
    lib: { entry: 'src/player/index.ts', formats: ['es'], fileName: () => 'index.js' },
    rolldownOptions: { external: ['hls.js'] },
  },
});
