// Fills the page's <nav> with links to all the examples, on the port that this page came from.
const nav = document.querySelector("nav");
for (const name of ["static", "flask", "django", "async", "node"]) {
  const link = document.createElement("a");
  const host = `${name}.localhost`;
  link.href = `${location.protocol}//${host}${location.port && ":" + location.port}/`;
  link.textContent = host;
  if (host === location.hostname) link.setAttribute("aria-current", "page");
  nav.append(link);
}
