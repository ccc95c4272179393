"use strict";
(function () {
  var data = document.body.dataset, zh = data.lang !== "en";
  var ahead = Number(data.now) - Date.now(), ends = Number(data.ends);
  function show(id, text) { var place = document.getElementById(id); if (place) { place.textContent = text; } }
  function tick() {
    var s = Math.max(0, Math.floor((ends - Date.now() - ahead) / 1000));
    var d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
    s %= 60;
    show("left", zh ? d + "天" + h + "小时" + m + "分" + s + "秒" : d + " d " + h + " h " + m + " min " + s + " s");
  }
  setInterval(tick, 1000);
  tick();
  function member(m) {
    var li = document.createElement("li");
    li.textContent = m.name + (m.leader ? (zh ? " · 团长" : " · leader") : "") + (m.paid ? (zh ? " · 已付款" : " · paid") : (zh ? " · 待付款" : " · not paid yet"));
    return li;
  }
  function state(room) {
    if (room.state === "formed") { return zh ? "已成团" : "This room has formed"; }
    if (room.state === "failed") { return zh ? "未成团，已付的钱全额退回" : "This room did not form; payments are returned in full"; }
    if (room.seats_left === 0) { return zh ? "名额已满，等待付款" : "All seats are taken, payments pending"; }
    return null;
  }
  function room(event) {
    var now = JSON.parse(event.data), list = document.getElementById("members"), bar = document.getElementById("bar"), word = state(now);
    show("taken", now.seats_taken);
    show("paid", now.seats_paid);
    if (bar) { bar.value = now.seats_taken; }
    if (list) { list.replaceChildren.apply(list, now.members.map(member)); }
    if (word) { show("state", word); }
    if (now.state !== "open") { this.close(); }
  }
  if (data.room && window.EventSource) {
    new EventSource("/v1/rooms/" + data.room + "/live").addEventListener("room", room);
  }
  function stock() {
    if (document.hidden) { return; }
    fetch("/v1/campaigns/" + data.campaign).then(function (answer) { return answer.ok ? answer.json() : null; }).then(function (now) {
      if (!now) { return; }
      now.items.forEach(function (item) {
        var place = document.querySelector('[data-sku="' + item.sku + '"]');
        if (place) { place.textContent = item.stock_left; }
      });
    }, function () { /* offline: the numbers stay as they are until the next round */ });
  }
  setInterval(stock, 5000);
})();
