Deno.serve({ port: Number(Deno.env.get('PORT')) }, () => new Response(`worker ${Deno.env.get('BULSA_WORKER')}\n`));
