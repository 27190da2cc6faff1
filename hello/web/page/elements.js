"use strict";

// Writing to the page.

const find = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const perSecond = (rate) => (rate < 9.95 ? rate.toFixed(1) : number(Math.round(rate)));

// Pods' names are untrusted, so they are only written as text.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function add(parent, tag, className = "", text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  parent.append(element);
  return element;
}

// Screen readers announce an alert whenever it is written, so write only changes.
function warn(id, text) {
  if (find(id).textContent === text) return;
  find(id).hidden = !text;
  find(id).textContent = text;
}

function tell(text) {
  const item = document.createElement("li");
  add(item, "time", "", new Date().toLocaleTimeString("en-GB"));
  item.append(text);
  find("news").prepend(item);
  if (find("news").children.length > 8) find("news").lastChild.remove();
}
