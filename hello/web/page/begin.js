// The visit that brought this page. Without this script the page still shows its number.

const greeter = find("greeter")?.textContent;
if (greeter) {
  learn({ pod: greeter, version: find("version")?.textContent });
  receive(Number(find("number").textContent), greeter, epoch);
  tell(`You came, and ${greeter} greeted you.`);
}
find("live").hidden = false;
if (!document.hidden) watch();
