<?php
// Hands one message in with PHPMailer. The order comes as JSON on stdin; what went wrong goes to stderr, status 1.

require '/usr/share/php/libphp-phpmailer/autoload.php';

use PHPMailer\PHPMailer\Exception;
use PHPMailer\PHPMailer\PHPMailer;
use PHPMailer\PHPMailer\SMTP;

$order = json_decode(stream_get_contents(STDIN), true, 16, JSON_THROW_ON_ERROR);
$mail = new PHPMailer(true);
$mail->isSMTP();
$mail->Host = 'localhost';
$mail->Port = $order['port'];
$mail->SMTPSecure = $order['mode'] === 'implicit' ? PHPMailer::ENCRYPTION_SMTPS : PHPMailer::ENCRYPTION_STARTTLS;
$mail->SMTPOptions = ['ssl' => ['cafile' => $order['ca'], 'verify_peer' => true, 'verify_peer_name' => true]];
$mail->SMTPAuth = true;
$mail->AuthType = $order['mechanism'];
$mail->Username = $order['user'];
$mail->Password = $order['password'];
$mail->Timeout = 60;
// PHPMailer forgets what the server said when it hangs up; so it is shown while it is said.
$mail->SMTPDebug = SMTP::DEBUG_SERVER;
$mail->Debugoutput = static function (string $text): void {
    fwrite(STDERR, trim($text) . "\n");
};
try {
    $mail->setFrom($order['author'], '', false);
    $mail->Sender = $order['reverse_path'];
    if ($order['sender'] !== null) {
        $mail->addCustomHeader('Sender', $order['sender']);
    }
    foreach ($order['recipients'] as $recipient) {
        $mail->addAddress($recipient);
    }
    $mail->Subject = $order['subject'];
    $mail->Body = $order['text'];
    $mail->send();
    echo $mail->getSMTPInstance()->getLastReply();
} catch (Exception $failure) {
    fwrite(STDERR, $failure->getMessage());
    exit(1);
}
