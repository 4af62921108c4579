Bun.serve({ port: process.env.PORT, fetch: () => new Response(`worker ${process.env.BULSA_WORKER}\n`) });
