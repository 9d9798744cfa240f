# The application of the tests for Puma: a path says what is answered. Each answer is a line in the file SERVED.

SERVED = File.open(ENV.fetch("SERVED"), File::WRONLY | File::APPEND | File::CREAT)
SERVED.sync = true
HEAD = "HTTP/1.1 500 Oops\r\nServer: x\r\n\r\n"

def answer(environ)
  what, argument = environ["PATH_INFO"].delete_prefix("/").split("/", 2)
  received = environ["rack.input"].read.bytesize
  case what
  when "status" then [argument.to_i, ["ok"]]
  when "slow" then sleep(argument.to_i / 1000.0) && [200, ["slow"]]
  when "large", "file" then [200, ["x" * 16_384] * 64]
  when "heads" then [200, [HEAD] * 20]
  when "echo" then [200, [received.to_s]]
  when "raise" then [500, []]
  else [404, ["no"]]
  end
end

run lambda { |environ|
  status, parts = answer(environ)
  SERVED.syswrite("#{environ["REQUEST_METHOD"]} #{status}\n")
  raise "as asked" if environ["PATH_INFO"] == "/raise"

  parts = [] if environ["REQUEST_METHOD"] == "HEAD" || [204, 304].include?(status)
  fields = [204, 304].include?(status) ? {} : { "content-length" => parts.sum(&:bytesize).to_s }
  [status, fields, parts]
}
