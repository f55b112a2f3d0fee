// Runs before the first paint, so that a chosen theme does not flash.
(function () {
  'use strict';
  try {
    var theme = localStorage.getItem('headwater.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch (error) {
    // Storage may be forbidden; the system's theme is then followed.
  }
})();
