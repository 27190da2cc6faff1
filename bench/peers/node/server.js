// The tutorial's counter in Node: http and ioredis, one INCR a request.
const http = require("node:http");
const Redis = require("ioredis");

const redis = new Redis(`redis://${process.env.REDIS}`);

http
  .createServer(async (request, response) => {
    try {
      const hits = await redis.incr("hits");
      response.setHeader("Content-Type", "text/plain");
      response.end(`Hello, world! You are visitor ${hits}.\n`);
    } catch (error) {
      response.statusCode = 503;
      response.end(`${error}\n`);
    }
  })
  .listen(process.env.PORT, "127.0.0.1");
