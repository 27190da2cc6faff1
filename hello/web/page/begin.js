// The visit that brought this page. Without JavaScript the page still shows its number.

const greeter = find("greeter")?.textContent;
if (greeter) {
  learn({ pod: greeter, version: find("version")?.textContent });
  receive(Number(find("number").textContent), greeter, epoch);
  tell(`You arrived, and ${greeter} greeted you.`);
}
find("live").hidden = false;
if (!document.hidden) watch();
