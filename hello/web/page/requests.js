// Requests to the server, relative to this page, whose path behind a proxy may be /prefix or /prefix/.

const BASE = location.pathname.replace(/\/?$/, "/");
const TIMEOUT = 15_000; // milliseconds

// AbortSignal.timeout would be shorter, but Safari 15 and Firefox 99 lack it.
async function get(address, headers) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), TIMEOUT);
  try {
    const options = { cache: "no-store", signal: controller.signal, headers: { Accept: "application/json", ...headers } };
    const response = await fetch(address, options);
    return { status: response.status, headers: response.headers, body: await response.text() };
  } finally {
    clearTimeout(timer);
  }
}
