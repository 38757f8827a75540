<?php
// PHP's own header() is understood: Content-Type and Location become 20 and 30.
header('Content-Type: text/gemini');
$query = rawurldecode($_SERVER['QUERY_STRING']);
$name = $query === '' ? 'stranger' : preg_replace('/\s+/', ' ', $query);
echo "# Hello, $name\n\nYou come from {$_SERVER['REMOTE_ADDR']}.\n";
