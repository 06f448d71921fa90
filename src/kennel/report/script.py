"""The one script of the page: a cell of the matrix shows its photos, by mouse or by keyboard."""

from __future__ import annotations

# Only text nodes and the page's own data URIs are made from data: nothing in it becomes markup.
SCRIPT = """
(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("photos").textContent);
  var pinned = null;
  function add(parent, name, text, kind) {
    var node = document.createElement(name);
    if (text !== null) node.textContent = text;
    if (kind) node.className = kind;
    parent.appendChild(node);
    return node;
  }
  function show(button) {
    var key = button.dataset.cell, at = key.split("."), photos = data.cells[key] || [];
    var truth = data.labels[at[1]], answer = data.labels[at[2]], n = Number(button.dataset.n);
    var panel = document.getElementById("cell-" + at[0]);
    panel.textContent = "";
    var words = at[1] === at[2] ? truth + ", answered right" : truth + ", taken for " + answer;
    add(panel, "p", words + ": " + n + " of " + button.dataset.of, "chosen");
    var row = add(panel, "div", null, "photos small");
    photos.forEach(function (photo) {
      var figure = add(row, "figure", null, "");
      if (photo[1].indexOf("data:image/jpeg;base64,") === 0) {
        var image = add(figure, "img", null, "");
        image.src = photo[1];
        image.alt = truth;
        image.title = photo[0];
      } else {
        add(figure, "div", "not in this page", "nothing");
      }
      var caption = add(figure, "figcaption", photo[0], "");
      var sure = (100 * photo[2]).toFixed(1) + " %";
      add(caption, "span", sure + (photo[3] === false ? ", not one I know" : ""), "");
    });
    if (n > photos.length) add(panel, "p", "and " + (n - photos.length) + " more", "quiet");
  }
  function pin(button) {
    if (pinned) pinned.setAttribute("aria-pressed", "false");
    pinned = pinned === button ? null : button;
    if (pinned) pinned.setAttribute("aria-pressed", "true");
    show(button);
  }
  var steps = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]};
  document.querySelectorAll("table.matrix").forEach(function (table) {
    var buttons = Array.prototype.slice.call(table.querySelectorAll("button"));
    function place(button) {
      var cell = button.parentNode;
      return [cell.parentNode.rowIndex, cell.cellIndex];
    }
    buttons.forEach(function (button, index) {
      button.tabIndex = index ? -1 : 0;
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", function () { pin(button); });
      button.addEventListener("mouseenter", function () { if (!pinned) show(button); });
      button.addEventListener("focus", function () {
        if (!pinned) show(button);
        buttons.forEach(function (other) { other.tabIndex = other === button ? 0 : -1; });
      });
      button.addEventListener("keydown", function (event) {
        var step = steps[event.key];
        if (!step) return;
        event.preventDefault();
        var from = place(button), best = null, least = Infinity;
        buttons.forEach(function (other) {
          var to = place(other), down = to[0] - from[0], right = to[1] - from[1];
          var along = down * step[0] + right * step[1];
          var aside = Math.abs(down * step[1]) + Math.abs(right * step[0]);
          if (along > 0 && along + 3 * aside < least) { best = other; least = along + 3 * aside; }
        });
        if (best) best.focus();
      });
    });
    var panel = document.getElementById("cell-" + table.dataset.split);
    panel.textContent = "Choose a cell to see its photos; arrow keys go from cell to cell.";
  });
  var asked = location.hash.slice(1);
  document.querySelectorAll("table.matrix button").forEach(function (button) {
    if (button.dataset.cell === asked) {
      document.getElementById("tab-" + asked.split(".")[0]).checked = true;
      pin(button);
    }
  });
})();
"""
