// Renders the mathematics that arithmatex marked, with the KaTeX beside this file. Nothing is fetched.
document.addEventListener("DOMContentLoaded", function () {
  var options = {
    delimiters: [
      { left: "\\[", right: "\\]", display: true },
      { left: "\\(", right: "\\)", display: false }
    ],
    throwOnError: true,
    errorCallback: function (message, error) { console.error(message, error); }
  };
  // Headings reach the two navigations as plain text, so those are searched as well.
  document.querySelectorAll(".arithmatex, .md-nav .md-ellipsis").forEach(function (element) {
    renderMathInElement(element, options);
  });
});
